// Edges over one real database, with time in the test's hand, and what stands between them: a ring, presence, a router.
import { create, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import { createContextValues } from '@connectrpc/connect';
import { onTestFinished } from 'vitest';
import { edgeOfSession, type RouterPeer } from '../cluster/edge-link.ts';
import { MemoryMembership } from '../cluster/membership.memory.ts';
import type { Member } from '../cluster/membership.ts';
import { Ownership } from '../cluster/ownership.ts';
import type { Attention, Presence, UserKey } from '../cluster/presence.ts';
import { SignalOutcome, TargetSchema } from '../gen/carillon/v1/edge_link_pb.ts';
import {
  AckRequestSchema,
  type AckResponse,
  Activity,
  ListInboxRequestSchema,
  type ListInboxResponse,
  MarkInboxRequestSchema,
  type MarkInboxResponse,
  ReauthenticateRequestSchema,
  type ReauthenticateResponse,
  RegisterDeviceRequestSchema,
  SetActivityRequestSchema,
  SubscribeRequestSchema,
} from '../gen/carillon/v1/edge_pb.ts';
import { ManualClock } from '../runtime/clock.manual.ts';
import type { Clock } from '../runtime/clock.ts';
import { systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import { silentLog } from '../runtime/log.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { tracingOff } from '../runtime/tracing.ts';
import type { Database } from '../storage/database.ts';
import { readContents } from '../storage/inbox.ts';
import { deliverTail, encodeItem } from '../storage/inbox-item.ts';
import { testDatabase } from '../test/support/database.ts';
import { seedInbox } from '../test/support/inbox-rows.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import type { AdmissionBounds } from './admission.ts';
import { FakeStream } from './client-stream.fixture.ts';
import { type Edge, type EdgeOptions, openEdge } from './edge.ts';
import { FakeTokens } from './tokens.fixture.ts';

/** Says what it was told, `edge: enter ada`. */
export class RecordingPresence implements Presence {
  readonly told: string[] = [];

  enter({ userId }: UserKey, edge: string, attention: Attention): void {
    this.told.push(`${edge}: enter ${userId}${attention === Activity.BACKGROUND ? ' behind' : ''}`);
  }
  leave({ userId }: UserKey, edge: string, closed: boolean): void {
    this.told.push(`${edge}: leave ${userId}${closed ? ' closed' : ''}`);
  }
  locate(users: readonly UserKey[]) {
    return Promise.resolve(
      users.map(() => ({ edges: [], foreground: false, vanishedAtMs: undefined, known: true })),
    );
  }
  leaseAgesMs(edges: readonly string[]) {
    return Promise.resolve(edges.map(() => undefined));
  }
  async [Symbol.asyncDispose](): Promise<void> {}
}

export interface TestEdgeOptions {
  admission?: AdmissionBounds;
  config?: Partial<EdgeOptions['config']>;
  /** Counts or alters queries. */
  db?: (db: Database) => Database;
  /** What this edge's machine says the time is. */
  clock?: Clock;
  url?: string;
}

export type TestMesh = Awaited<ReturnType<typeof testMesh>>;
export type TestEdge = Awaited<ReturnType<TestMesh['edge']>>;

/** A database and nobody on it yet. Everything ends with the test. */
export async function testMesh() {
  const t = await testDatabase();
  onTestFinished(() => t[Symbol.asyncDispose]());
  const clock = new ManualClock(Date.UTC(2026, 10, 20));
  const tokens = new FakeTokens(clock);
  const membership = new MemoryMembership();
  const presence = new RecordingPresence();
  const edges = new Map<string, Edge>();
  /** A router that has links to all edges; `away`: nobody answers it. */
  const router: RouterPeer & { away: boolean } = {
    away: false,
    changed: (users) => {
      for (const edge of edges.values()) edge.port.changed(users);
    },
    async signal(signal) {
      const edge = router.away ? undefined : edges.get(edgeOfSession(signal.sessionId));
      return edge?.port.signal([signal])[0]?.outcome ?? SignalOutcome.UNREACHABLE;
    },
    viewed: () => {},
  };
  const edge = async (node = 'edge-1', options: TestEdgeOptions = {}) => {
    const metrics = createMetrics();
    const own = options.clock ?? clock;
    const ownership = new Ownership({ membership, clock: own });
    const opened = await openEdge({
      ...(options.admission && { admission: options.admission }),
      config: {
        edgeReconnectsPerSecond: limits.reconnectsPerSecond,
        edgeStreamsPerAddress: limits.streamsPerAddressCount,
        trustedProxies: ['127.0.0.0/8', '::1'],
        ...options.config,
      },
      db: options.db?.(t.db) ?? t.db,
      handoff: new RecordingHandoff(),
      presence,
      authenticator: tokens,
      membership,
      ownership,
      node,
      incarnation: 'i1',
      clock: own,
      ids: systemIds,
      tracing: tracingOff,
      metrics,
      log: silentLog,
    });
    const member: Member = {
      role: 'edge',
      node,
      incarnation: 'i1',
      address: '',
      url: options.url ?? '',
      weight: 1,
      zone: '',
    };
    const announcement = await membership.announce(member);
    opened.port.attach(router);
    edges.set(node, opened);
    onTestFinished(async () => {
      await announcement[Symbol.asyncDispose]();
      await opened[Symbol.asyncDispose]();
      ownership[Symbol.dispose]();
    });
    return { edge: opened, metrics, ownership, announcement, ...calls(opened, tokens) };
  };
  return { db: t.db, clock, tokens, membership, presence, router, edge };
}

/** What a client does; `as` is a user, whose token is unbound and does not expire, or the headers of a call. */
function calls(edge: Edge, tokens: FakeTokens) {
  const headersOf = (as: string | Headers) => (typeof as === 'string' ? tokens.of(as, { issuedMs: 1 }) : as);
  const call =
    <R>() =>
    <D extends DescMessage>(name: string, schema: D) =>
    async (init: MessageInitShape<D> = {} as MessageInitShape<D>, as: string | Headers = 'ada') =>
      (await edge.service.handlers[name]!(create(schema, init), {
        requestHeader: headersOf(as),
        values: createContextValues(),
      } as never)) as R;
  return {
    ack: call<AckResponse>()('ack', AckRequestSchema),
    list: call<ListInboxResponse>()('listInbox', ListInboxRequestSchema),
    mark: call<MarkInboxResponse>()('markInbox', MarkInboxRequestSchema),
    register: call<unknown>()('registerDevice', RegisterDeviceRequestSchema),
    setActivity: call<unknown>()('setActivity', SetActivityRequestSchema),
    reauthenticate: call<ReauthenticateResponse>()('reauthenticate', ReauthenticateRequestSchema),
    subscribe(
      request: string | MessageInitShape<typeof SubscribeRequestSchema> = {},
      as: string | Headers = 'ada',
      stream = new FakeStream(),
    ): FakeStream {
      const init = typeof request === 'string' ? { cursor: request } : request;
      edge.subscribe(create(SubscribeRequestSchema, init), stream, headersOf(as));
      return stream;
    },
  };
}

/** The stream's Hello, once it is there. */
export async function helloed(stream: FakeStream) {
  await stream.until((frames) => frames[0]?.case === 'hello');
  return stream.of('hello')[0]!;
}

/** Stores one item for the user and brings it to the edge by a link. */
export async function send(db: Database, { port }: Edge, seq: number, userId = 'ada') {
  const [id] = await seedInbox(db, { users: [userId] });
  const { found } = await readContents(db, [id!], 1);
  const target = create(TargetSchema, { tenant: 'default', userId, seq, item: 0 });
  const [result] = await port.deliver([deliverTail(encodeItem(found[0]!))], [target]);
  return { id: id!, outcome: result!.outcome };
}
