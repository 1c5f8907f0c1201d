// What the roles of one process share, and who they are.
import { hostname } from 'node:os';
import type { Membership } from '../cluster/membership.ts';
import type { Presence } from '../cluster/presence.ts';
import type { EventLog, Handoff } from '../eventlog/event-log.ts';
import type { UserAuthenticator } from '../runtime/authenticator.ts';
import type { Clock } from '../runtime/clock.ts';
import { type Config, type ConfigKey, environmentName } from '../runtime/config.ts';
import type { MasterKeys } from '../runtime/envelope.ts';
import { CarillonError } from '../runtime/errors.ts';
import { type Ids, systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { SignToken } from '../runtime/token-signer.ts';
import type { Tracing } from '../runtime/tracing.ts';
import { type Database, openDatabase } from '../storage/database.ts';
import type { Role } from './roles.ts';
import type { Tls } from './tls.ts';

export interface Parts {
  readonly config: Config;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly tracing: Tracing;
  readonly postgresUrl: string;
  readonly eventLog: EventLog;
  readonly handoff: Handoff;
  readonly presence: Presence;
  readonly membership: Membership;
  /** Says who calls a port of this process. */
  readonly authenticator: UserAuthenticator;
  /** Undefined: tokens are signed elsewhere. */
  readonly signToken: SignToken | undefined;
  /** Undefined: there are none, and secrets of providers can neither be kept nor read. */
  readonly masterKeys: MasterKeys | undefined;
  /** This process in the cluster, and this start of it. */
  readonly node: string;
  readonly incarnation: string;
  readonly tls: Tls | undefined;
  /** Where commands of this user find a key; undefined where other machines reach the mesh. */
  readonly keyFile: string | undefined;
  /** Until when, by the monotonic clock, a start waits for an event log that is away. */
  readonly logDueMs: number;
}

/** A pool of connections of the role's own: a blast in one does not keep the others waiting. */
export function openRoleDatabase(parts: Pick<Parts, 'postgresUrl' | 'clock'>, role: Role | 'ops'): Database {
  return openDatabase({
    url: parts.postgresUrl,
    connections: limits.roleConnectionsCount[role],
    name: `carillon ${role}`,
    clock: parts.clock,
  });
}

/** Letters and digits of the host's name, the process and chance: two processes on one host are two nodes. */
export function nodeName(): string {
  const host =
    hostname()
      .split('.')[0]
      ?.replaceAll(/[^A-Za-z0-9-]/g, '') || 'node';
  return `${host.slice(0, 40)}-${systemIds.uuid().slice(-6)}`;
}

/** Turns a listener's EADDRINUSE and the like into a sentence that names the setting. */
export async function listening<T>(
  config: Config,
  key: ConfigKey & `${string}Port`,
  open: Promise<T>,
): Promise<T> {
  try {
    return await open;
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    const where = `Port ${config[key]} (${environmentName(key)})`;
    if (code === 'EADDRINUSE')
      throw new CarillonError(
        'PORT_IN_USE',
        `${where} is in use on ${config.host}: stop what listens there, or set ${environmentName(key)} to another port, or to 0 for any free one.`,
        { cause },
      );
    if (code === 'EACCES' || code === 'EADDRNOTAVAIL')
      throw new CarillonError('CONFIG_INVALID', `${where} cannot be opened on ${config.host}: ${code}.`, {
        cause,
      });
    throw cause;
  }
}

/** Waits for consumers to have their partitions, but not for a log that is away: they join it when it is back. */
export async function joined(
  parts: Pick<Parts, 'clock' | 'log' | 'logDueMs'>,
  who: string,
  ready: Promise<void>,
): Promise<void> {
  const given = new AbortController();
  const leftMs = Math.max(0, parts.logDueMs - parts.clock.monotonic());
  const late = parts.clock.sleep(leftMs, given.signal).then(() => !given.signal.aborted);
  try {
    if (await Promise.race([ready.then(() => false), late]))
      parts.log.warn({ who }, 'the event log gives no partitions yet; serving without them until it does');
  } finally {
    given.abort();
  }
}
