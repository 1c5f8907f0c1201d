// The mesh under test, as real processes: all in one, or several of every role over PostgreSQL, Kafka and Redis; and what can break in it.
import { freePorts } from '../../deploy/stack/ports.ts';
import { type Stack, stackStatus } from '../../deploy/stack/stack.ts';
import type { RoleProcess } from '../support/processes.ts';
import {
  type RoleCounts,
  type RoleName,
  type RunningCluster,
  startRunningCluster,
} from '../support/running-cluster.ts';
import { startRunningMesh } from '../support/running-mesh.ts';
import type { Watched } from './cpu.ts';
import type { Card } from './plan.ts';

export type Mode = 'embedded' | 'cluster';

export interface Stage extends AsyncDisposable {
  readonly ingests: readonly string[];
  readonly edges: readonly string[];
  /** Of a backend that may do everything. */
  readonly apiKey: string;
  /** All that runs or ran. */
  readonly processes: () => readonly RoleProcess[];
  /** One more process of the role that this one has, not started yet. */
  readonly another: (process: RoleProcess) => Promise<RoleProcess>;
  /** The processes of the stores that a cluster stands on. */
  readonly stores: () => Promise<Watched[]>;
  /** Only in a cluster. */
  readonly stack: Stack | undefined;
  readonly cards: readonly Card[];
  /** Names of the processes that were there from the beginning, by role. */
  readonly roles: readonly (readonly string[])[];
  /** Where the logs are, while the mesh is up. */
  readonly directory: string;
}

export interface StageOptions {
  mode: Mode;
  smtpUrl: string;
  counts: RoleCounts;
  /** More settings. */
  env: NodeJS.ProcessEnv;
}

/** A process that was killed comes back on its ports: they are chosen once. */
export function openStage({ mode, smtpUrl, counts, env }: StageOptions): Promise<Stage> {
  const settings = {
    CARILLON_SMTP_URL: smtpUrl,
    CARILLON_PROVIDER_RETRY_MS: '500,1000,2000,4000,8000,15000,30000',
    ...env,
  };
  return mode === 'cluster' ? clusterStage(settings, counts) : embeddedStage(settings);
}

function clusterCards(names: (role: RoleName) => readonly string[]): Card[] {
  const every = (kinds: readonly Card['kind'][], among: readonly string[]): Card[] =>
    kinds.map((kind) => ({ kind, among }));
  return [
    ...every(['kill', 'kill', 'freeze', 'freeze', 'leave', 'visit'], names('edge')),
    ...every(['kill', 'freeze', 'leave', 'visit'], names('router')),
    ...every(['kill', 'freeze', 'leave'], names('ingest')),
    ...every(['kill', 'freeze', 'leave'], names('providers')),
    ...every(['kill', 'freeze', 'restart', 'restart', 'flushall'], ['redis']),
    ...every(['restart'], ['kafka']),
  ];
}

async function clusterStage(env: NodeJS.ProcessEnv, counts: RoleCounts): Promise<Stage> {
  const cluster: RunningCluster = await startRunningCluster(env, counts);
  const first = [...cluster.members];
  const of = (role: RoleName) => first.filter((member) => member.role === role);
  const names = (role: RoleName) => of(role).map(({ process }) => process.name);
  return {
    ingests: of('ingest').map(({ url }) => url),
    edges: of('edge').map(({ url }) => url),
    apiKey: cluster.apiKey,
    processes: () => cluster.roles,
    another: async (process) => {
      const member = cluster.members.find((one) => one.process === process);
      if (!member) throw new Error(`${process.name} is none of this cluster`);
      return (await cluster.add(member.role)).process;
    },
    stores: async () =>
      ((await stackStatus(cluster.stack.directory)) ?? []).flatMap(({ name, pid }) =>
        pid === undefined ? [] : [{ name, pid, family: true }],
      ),
    stack: cluster.stack,
    cards: clusterCards(names),
    roles: (['ingest', 'router', 'edge', 'providers'] as const).map(names),
    directory: cluster.directory,
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  };
}

async function embeddedStage(env: NodeJS.ProcessEnv): Promise<Stage> {
  const ports = await freePorts(5);
  const keys = ['INGEST', 'EDGE', 'ROUTER', 'WEBHOOK', 'OPS'].map((name) => `CARILLON_${name}_PORT`);
  const settings = Object.fromEntries(keys.map((key, index) => [key, String(ports[index])]));
  const mesh = await startRunningMesh({ ...env, ...settings });
  return {
    ingests: [mesh.ingest],
    edges: [mesh.edge],
    apiKey: mesh.apiKey,
    processes: () => [mesh.process],
    another: () => Promise.reject(new Error('an embedded mesh is one process')),
    stores: async () => [],
    stack: undefined,
    cards: [
      { kind: 'kill', among: [mesh.process.name] },
      { kind: 'freeze', among: [mesh.process.name] },
      { kind: 'leave', among: [mesh.process.name] },
    ],
    roles: [],
    directory: mesh.directory,
    [Symbol.asyncDispose]: () => mesh[Symbol.asyncDispose](),
  };
}
