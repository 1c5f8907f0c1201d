// What must hold after the storm, judged from outside alone.
import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import pLimit from 'p-limit';
import { IngestService } from '../../gen/carillon/v1/ingest_pb.ts';
import { DeliveryState, DeliveryStateSchema } from '../../gen/carillon/v1/notification_pb.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { Accepted, History } from './history.ts';

export interface Verdict {
  checker: string;
  ok: boolean;
  said: string;
}

const DONE = new Set<DeliveryState>([DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.OPENED]);

/** Whether everything that was accepted has arrived; asked again and again until it has, or time is up. */
function missing(history: History): Accepted[] {
  const seen = new Set(history.seen.map(({ notificationId }) => notificationId));
  const mailed = new Set(history.mails.map(({ notificationId }) => notificationId));
  return history.accepted.filter(
    ({ kind, notificationId }) => !(kind === 'in_app' ? seen : mailed).has(notificationId),
  );
}

/** Waits until nothing is missing; gives up after `withinMs`. Returns how long it took. */
export async function quiesce(history: History, withinMs: number): Promise<number> {
  const startedMs = systemClock.monotonic();
  while (missing(history).length > 0 && systemClock.monotonic() - startedMs < withinMs)
    await systemClock.sleep(200);
  return systemClock.monotonic() - startedMs;
}

export async function judge(history: History, ingest: string): Promise<Verdict[]> {
  return [
    total(history),
    seenOnce(history),
    ordered(history),
    await mailedOnce(history, ingest),
    onePerKey(history),
    await audited(history, ingest),
  ];
}

function total(history: History): Verdict {
  const lost = missing(history);
  return {
    checker: 'total: every accepted key was delivered',
    ok: lost.length === 0,
    said: `${history.accepted.length} accepted, ${lost.length} lost${lost
      .slice(0, 5)
      .map((one) => ` ${one.kind}:${one.key}:${one.notificationId}`)
      .join('')}`,
  };
}

function doubles<T>(of: readonly T[], key: (one: T) => string): string[] {
  const counts = new Map<string, number>();
  for (const one of of) counts.set(key(one), (counts.get(key(one)) ?? 0) + 1);
  return [...counts].filter(([, count]) => count > 1).map(([text]) => text);
}

function seenOnce(history: History): Verdict {
  const twice = doubles(history.seen, (one) => `${one.userId} ${one.notificationId}`);
  return {
    checker: 'unique: no client handler saw one twice',
    ok: twice.length === 0,
    said: `${history.seen.length} seen, ${twice.length} twice ${twice.slice(0, 5).join(', ')}`,
  };
}

function ordered(history: History): Verdict {
  const last = new Map<string, number>();
  const bad: string[] = [];
  for (const { userId, seq } of history.seen) {
    const before = last.get(userId);
    if (before !== undefined && seq !== before + 1) bad.push(`${userId}: ${before} then ${seq}`);
    last.set(userId, seq);
  }
  return {
    checker: 'order: per user without a gap over every resume',
    ok: bad.length === 0,
    said: `${last.size} users, ${bad.length} breaks ${bad.slice(0, 5).join(', ')}`,
  };
}

/** A doubled mail is allowed only where the mesh itself says that an attempt was ambiguous. */
async function mailedOnce(history: History, ingest: string): Promise<Verdict> {
  const client = createClient(IngestService, createConnectTransport({ baseUrl: ingest, httpVersion: '1.1' }));
  const twice = doubles(history.mails, (mail) => mail.notificationId);
  const users = new Map(history.accepted.map((one) => [one.notificationId, one.userId]));
  const undeclared: string[] = [];
  for (const notificationId of twice) {
    const { decisions } = await client.explain({ notificationId, userId: users.get(notificationId) ?? '' });
    if (!decisions.some(({ rule }) => rule.includes('ambiguous'))) undeclared.push(notificationId);
  }
  return {
    checker: 'unique: no mail was doubled but for counted ambiguous attempts',
    ok: undeclared.length === 0,
    said: `${history.mails.length} mails, ${twice.length} doubled and declared ambiguous, ${undeclared.length} undeclared ${undeclared.slice(0, 5).join(', ')}`,
  };
}

function onePerKey(history: History): Verdict {
  const twice = doubles(history.accepted, (one) => one.notificationId);
  return {
    checker: 'idempotency: one notification per key',
    ok: twice.length === 0,
    said: `${history.refusals} calls were refused or cut off and repeated, ${twice.length} ids given twice`,
  };
}

async function audited(history: History, ingest: string): Promise<Verdict> {
  const client = createClient(IngestService, createConnectTransport({ baseUrl: ingest, httpVersion: '1.1' }));
  const limit = pLimit(16);
  const open: string[] = [];
  await Promise.all(
    history.accepted.map(({ notificationId, key }) =>
      limit(async () => {
        const { status } = await client.getNotification({ notificationId });
        const bad = status?.deliveries.filter(({ state }) => !DONE.has(state)) ?? [];
        if (bad.length > 0 || status?.deliveries.length === 0) {
          open.push(
            `${key} (${notificationId}): ${bad.map(({ state, reason }) => `${DeliveryStateSchema.value[state]?.localName} ${reason}`).join() || 'no delivery'}`,
          );
        }
      }),
    ),
  );
  return {
    checker: 'audit: the store agrees, every row has come to its end',
    ok: open.length === 0,
    said: `${history.accepted.length} looked at, ${open.length} disagree ${open.slice(0, 5).join('; ')}`,
  };
}
