// What the mesh itself says of a run, by its public API: whether it agrees with what was seen from outside.
import { type Client, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import pLimit from 'p-limit';
import { IngestService } from '../../gen/carillon/v1/ingest_pb.ts';
import { DeliveryState, DeliveryStateSchema } from '../../gen/carillon/v1/notification_pb.ts';
import { doubles, type Verdict } from './checkers.ts';
import type { Accepted, History } from './history.ts';

const AT_ONCE = 48;
const ACKNOWLEDGED = new Set<DeliveryState>([DeliveryState.DELIVERED, DeliveryState.OPENED]);
const DONE = new Set<DeliveryState>([...ACKNOWLEDGED, DeliveryState.SENT]);

type Ingest = Client<typeof IngestService>;

/** Asks all of `urls` in turn. */
export async function audit(
  history: History,
  urls: readonly string[],
  headers: Record<string, string>,
): Promise<Verdict[]> {
  const ingests = urls.map((baseUrl) =>
    createClient(IngestService, createConnectTransport({ baseUrl, httpVersion: '2' })),
  );
  return [await mailedOnce(history, ingests[0]!, headers), await rowsAgree(history, ingests, headers)];
}

/** A doubled mail is allowed only where the mesh itself says that an attempt was ambiguous. */
async function mailedOnce(
  history: History,
  ingest: Ingest,
  headers: Record<string, string>,
): Promise<Verdict> {
  const twice = doubles(history.mails, (mail) => mail.notificationId);
  const users = new Map(history.accepted.map((one) => [one.notificationId, one.userId]));
  const undeclared: string[] = [];
  for (const notificationId of twice) {
    const { decisions } = await ingest.explain(
      { notificationId, userId: users.get(notificationId) ?? '' },
      { headers },
    );
    if (!decisions.some(({ rule }) => rule.includes('ambiguous'))) undeclared.push(notificationId);
  }
  return {
    checker: 'unique: no mail was doubled but for counted ambiguous attempts',
    ok: undeclared.length === 0,
    said: `${history.mails.length} mails, ${twice.length} doubled and declared ambiguous, ${undeclared.length} undeclared ${undeclared.slice(0, 5).join(', ')}`,
  };
}

/** A device was told that its ack is kept: then the row must say so. */
async function rowsAgree(
  history: History,
  ingests: readonly Ingest[],
  headers: Record<string, string>,
): Promise<Verdict> {
  const acked = new Set(
    history.seen.flatMap(({ notificationId, ackedMs }) => (ackedMs === undefined ? [] : [notificationId])),
  );
  const limit = pLimit(AT_ONCE);
  const bad: string[] = [];
  const look = async ({ notificationId, key, kind }: Accepted, index: number) => {
    const { status } = await ingests[index % ingests.length]!.getNotification(
      { notificationId },
      { headers },
    );
    const allowed = kind === 'in_app' && acked.has(notificationId) ? ACKNOWLEDGED : DONE;
    const open = status?.deliveries.filter(({ state }) => !allowed.has(state)) ?? [];
    if (open.length === 0 && status?.deliveries.length !== 0) return;
    const states = open.map(
      ({ state, reason }) => `${DeliveryStateSchema.value[state]?.localName} ${reason}`,
    );
    bad.push(`${key} (${notificationId}): ${states.join() || 'no delivery'}`);
  };
  await Promise.all(history.accepted.map((one, index) => limit(look, one, index)));
  return {
    checker: 'audit: the store agrees, every row has come to its end',
    ok: bad.length === 0,
    said: `${history.accepted.length} looked at, ${bad.length} disagree ${bad.slice(0, 5).join('; ')}`,
  };
}
