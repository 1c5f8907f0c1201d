// Backends that call Send at a steady rate on any ingest, and repeat a call with its key until it is answered.
import { type Client, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { AdminService } from '../../gen/carillon/v1/admin_pb.ts';
import { IngestService } from '../../gen/carillon/v1/ingest_pb.ts';
import { Channel } from '../../gen/carillon/v1/notification_pb.ts';
import { bearer } from '../../runtime/bearer.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { History, Kind } from './history.ts';
import type { Chance } from './random.ts';

const CALL_TIMEOUT_MS = 5_000;
/** Before the same key is sent to the next ingest. */
const AGAIN_AFTER_MS = 300;
const TICK_MS = 20;
/** Calls without answer; further ones wait, so that an ingest that is away does not fill our memory. */
const OPEN_CALLS = 5_000;

const channels: Record<Kind, Channel[]> = {
  in_app: [Channel.IN_APP],
  escalating: [],
  email: [Channel.EMAIL],
  fallback: [],
};

/** Of a hundred: how many to somebody online, to somebody online by mail if need be, as mail, and to somebody absent. */
const SHARES: readonly [Kind, number][] = [
  ['in_app', 80],
  ['escalating', 10],
  ['email', 5],
  ['fallback', 5],
];

export interface LoadOptions {
  ingests: readonly string[];
  headers: Record<string, string>;
  perSecond: number;
  /** Who gets which kind. */
  users: Readonly<Record<Kind, readonly string[]>>;
  seed: number;
}

/** An API key for the load, made by the backend that may do everything. Resolves with the headers that show it. */
export async function sendersKey(ingest: string, apiKey: string): Promise<Record<string, string>> {
  const admin = createClient(AdminService, createConnectTransport({ baseUrl: ingest, httpVersion: '1.1' }));
  const { secret } = await admin.createApiKey(
    { name: 'chaos', scopes: ['notifications:send', 'notifications:read', 'users:write'] },
    { headers: bearer(apiKey) },
  );
  return bearer(secret);
}

/** Sets the addresses of users, so that mails to them can go out. */
export async function putUsers(
  ingest: string,
  headers: Record<string, string>,
  users: readonly string[],
): Promise<void> {
  const admin = createClient(AdminService, createConnectTransport({ baseUrl: ingest, httpVersion: '2' }));
  await Promise.all(
    users.map((id) => admin.putUser({ user: { id, email: `${id}@example.test` } }, { headers })),
  );
}

function drawKind(chance: Chance): Kind {
  let roll = chance.next() * 100;
  for (const [kind, share] of SHARES) {
    roll -= share;
    if (roll < 0) return kind;
  }
  return 'in_app';
}

/** Sends until `signal` aborts, then until every call that was begun has been answered; `interrupted` ends that too. */
export async function sendUntil(
  signal: AbortSignal,
  interrupted: AbortSignal,
  history: History,
  chance: Chance,
  options: LoadOptions,
): Promise<void> {
  const clients = options.ingests.map((baseUrl) =>
    createClient(IngestService, createConnectTransport({ baseUrl, httpVersion: '1.1' })),
  );
  const open = new Set<Promise<void>>();
  let number = 0;
  const startedMs = systemClock.monotonic();
  while (!signal.aborted) {
    const dueCount = Math.floor(((systemClock.monotonic() - startedMs) / 1_000) * options.perSecond);
    for (; number < dueCount && open.size < OPEN_CALLS; number++) {
      const kind = drawKind(chance);
      const call = sendOne(
        clients,
        number,
        interrupted,
        history,
        options,
        kind,
        chance.pick(options.users[kind]),
      );
      open.add(call);
      void call.finally(() => open.delete(call));
    }
    await systemClock.sleep(TICK_MS, signal);
  }
  await Promise.all(open);
}

/** Tries one ingest after the other until one answers. */
async function sendOne(
  clients: readonly Client<typeof IngestService>[],
  number: number,
  interrupted: AbortSignal,
  history: History,
  { seed, headers }: LoadOptions,
  kind: Kind,
  userId: string,
): Promise<void> {
  const key = `chaos-${seed}-${number}`;
  const request = {
    idempotencyKey: key,
    notification: {
      audience: { kind: { case: 'users' as const, value: { ids: [userId] } } },
      content: { title: key, body: 'chaos' },
      channels: channels[kind],
    },
  };
  const calledMs = systemClock.now();
  for (let tries = number; !interrupted.aborted; tries++) {
    try {
      const { notificationId } = await clients[tries % clients.length]!.send(request, {
        headers,
        timeoutMs: CALL_TIMEOUT_MS,
      });
      const answeredMs = systemClock.now();
      history.accepted.push({ key, kind, userId, notificationId, calledMs, answeredMs });
      return;
    } catch (error) {
      history.refusals.push({
        atMs: systemClock.now(),
        why: error instanceof Error ? error.message : String(error),
      });
      await systemClock.sleep(AGAIN_AFTER_MS, interrupted);
    }
  }
}
