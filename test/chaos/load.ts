// Backends that call Send at a steady rate, and repeat a call with its key until it is answered.
import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { AdminService } from '../../gen/carillon/v1/admin_pb.ts';
import { IngestService } from '../../gen/carillon/v1/ingest_pb.ts';
import { Channel } from '../../gen/carillon/v1/notification_pb.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { History, Kind } from './history.ts';
import type { Chance } from './random.ts';

const CALL_TIMEOUT_MS = 5_000;
const AGAIN_AFTER_MS = 200;

const channels: Record<Kind, Channel[]> = { in_app: [Channel.IN_APP], email: [Channel.EMAIL], fallback: [] };

export interface LoadOptions {
  ingest: string;
  perSecond: number;
  online: readonly string[];
  offline: readonly string[];
  seed: number;
}

/** Sets the offline users' addresses, so that mails to them can go out. */
export async function putUsers(ingest: string, offline: readonly string[]): Promise<void> {
  const admin = createClient(AdminService, createConnectTransport({ baseUrl: ingest, httpVersion: '1.1' }));
  for (const id of offline) await admin.putUser({ user: { id, email: `${id}@example.test` } });
}

/** Sends until `signal` aborts, then until every call that was begun has been answered. */
export async function sendUntil(
  signal: AbortSignal,
  history: History,
  chance: Chance,
  options: LoadOptions,
): Promise<void> {
  const client = createClient(
    IngestService,
    createConnectTransport({ baseUrl: options.ingest, httpVersion: '1.1' }),
  );
  const open = new Set<Promise<void>>();
  let number = 0;

  async function sendOne(key: string, kind: Kind, userId: string): Promise<void> {
    for (;;) {
      try {
        const answer = await client.send(
          {
            idempotencyKey: key,
            notification: {
              audience: { kind: { case: 'users', value: { ids: [userId] } } },
              content: { title: key, body: 'chaos' },
              channels: channels[kind],
            },
          },
          { timeoutMs: CALL_TIMEOUT_MS },
        );
        history.accepted.push({ key, kind, userId, notificationId: answer.notificationId });
        history.acceptedAtMs.set(answer.notificationId, systemClock.now());
        return;
      } catch {
        history.refusals++;
        await systemClock.sleep(AGAIN_AFTER_MS);
      }
    }
  }

  const startedMs = systemClock.monotonic();
  while (!signal.aborted) {
    const dueCount = Math.floor(((systemClock.monotonic() - startedMs) / 1_000) * options.perSecond);
    for (; number < dueCount; number++) {
      const roll = chance.next();
      const kind: Kind = roll < 0.7 ? 'in_app' : roll < 0.85 ? 'email' : 'fallback';
      const call = sendOne(
        `chaos-${options.seed}-${number}`,
        kind,
        chance.pick(kind === 'in_app' ? options.online : options.offline),
      );
      open.add(call);
      call.finally(() => open.delete(call));
    }
    await systemClock.sleep(20, signal);
  }
  await Promise.all(open);
}
