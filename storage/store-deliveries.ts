// Stores a planned chunk in one commit: rows, inbox items with their seqs, records for the channels, the count of the page.
import { create, toBinary } from '@bufbuild/protobuf';
import type { Handoff, LogRecord } from '../eventlog/event-log.ts';
import { channelTopic, userKey } from '../eventlog/topics.ts';
import { ChannelRecordSchema } from '../gen/carillon/v1/event_pb.ts';
import { Channel, DeliveryState, type Lane, NotificationState } from '../gen/carillon/v1/notification_pb.ts';
import type { Database, Queryable } from './database.ts';
import type { DeliveryKey, DeliveryRow, PlannedRow } from './delivery-row.ts';
import { deliveryColumns, deliveryRow, type StoredDelivery } from './delivery-row.ts';
import { countExpanded } from './expansion.ts';
import { allocateItems } from './inbox-allocation.ts';

const S = DeliveryState;
const N = NotificationState;

/** What became of a chunk. */
export interface StoredChunk {
  /** Rows that are new, each with the seq of its inbox item if it has one. */
  fresh: readonly (PlannedRow & { seq: number | undefined })[];
  /** Notifications that were cancelled, or have expired: nothing of theirs was stored. */
  ended: ReadonlySet<string>;
  /** Rows of the chunk that had been stored before, by an earlier delivery of the same record. */
  before: readonly DeliveryKey[];
}

export interface ChunkOptions {
  /** What counts as now in `dueAtMs`: only the difference is stored, on top of the database's clock. */
  nowMs: number;
  /** When a notification that is not complete yet is looked at again. */
  reconcileMs: number;
  /** What goes into the channel records' headers, by notification. */
  traceparents: ReadonlyMap<string, string>;
}

// KEY SHARE is enough to hold off a cancel, which locks FOR UPDATE, and it lets other pages of the same notification count
// theirs: with FOR SHARE two of them would wait for each other in `countExpanded`.
const INSERT = `
with alive as materialized (
  select id from notifications
   where id = any($1::uuid[]) and state in (${N.ACCEPTED}, ${N.EXPANDING}, ${N.EXPANDED}) and expires_at > now()
   order by id for key share
), fresh as (
  insert into deliveries (notification_id, user_id, channel, tenant, lane, state, reason, steps, step, step_channel, due_at, inputs)
  select r.notification_id, r.user_id, r.channel, r.tenant, r.lane, r.state, r.reason, r.steps, r.step, r.step_channel,
         now() + r.due_ms * interval '1 ms', r.inputs
    from unnest($2::uuid[], $3::text[], $4::smallint[], $5::text[], $6::smallint[], $7::smallint[], $8::text[],
                $9::jsonb[], $10::smallint[], $11::smallint[], $12::float8[], $13::jsonb[])
      as r(notification_id, user_id, channel, tenant, lane, state, reason, steps, step, step_channel, due_ms, inputs)
    join alive on alive.id = r.notification_id
   order by r.notification_id, r.user_id collate "C", r.channel
  on conflict do nothing
  returning notification_id, user_id, channel
)
select id as notification_id, null as user_id, null as channel from alive
union all select notification_id, user_id, channel from fresh`;

const keyText = ({ notificationId, userId, channel }: DeliveryKey): string =>
  `${notificationId}${channel}${userId}`;

/** A record that says: this row waits on its step's channel. */
export function channelRecord(
  row: DeliveryKey & { tenant: string; lane: Lane; stepChannel: Channel },
  traceparent: string | undefined,
): LogRecord {
  return {
    topic: channelTopic(row.stepChannel, row.lane),
    key: userKey(row.tenant, row.userId),
    value: toBinary(
      ChannelRecordSchema,
      create(ChannelRecordSchema, {
        tenant: row.tenant,
        notificationId: row.notificationId,
        userId: row.userId,
        planChannel: row.channel,
      }),
    ),
    headers: traceparent === undefined ? {} : { traceparent },
  };
}

async function insertRows(tx: Queryable, rows: readonly PlannedRow[], nowMs: number) {
  const json = new Map<object, string>();
  const text = (value: object) => {
    const known = json.get(value);
    if (known !== undefined) return known;
    const made = JSON.stringify(value);
    json.set(value, made);
    return made;
  };
  const { rows: found } = await tx.query<{
    notification_id: string;
    user_id: string | null;
    channel: number | null;
  }>({
    name: 'deliveries-insert',
    text: INSERT,
    values: [
      [...new Set(rows.map((row) => row.notificationId))],
      rows.map((row) => row.notificationId),
      rows.map((row) => row.userId),
      rows.map((row) => row.channel),
      rows.map((row) => row.tenant),
      rows.map((row) => row.lane),
      rows.map((row) => row.state),
      rows.map((row) => row.reason),
      rows.map((row) => text(row.steps)),
      rows.map((row) => row.step),
      rows.map((row) => row.stepChannel),
      rows.map((row) => (row.dueAtMs === undefined ? null : Math.max(0, row.dueAtMs - nowMs))),
      rows.map((row) => text(row.inputs)),
    ],
  });
  const alive = new Set<string>();
  const fresh = new Set<string>();
  for (const { notification_id, user_id, channel } of found) {
    if (user_id === null || channel === null) alive.add(notification_id);
    else
      fresh.add(keyText({ notificationId: notification_id, userId: user_id, channel: channel as Channel }));
  }
  return { alive, fresh };
}

/**
 * Stores up to `limits.commitRecipientsCount` recipients, all rows of a recipient together. The order of locks: notifications
 * (key share), deliveries, heads, the notifications' counts, the log's heads. What is there already stays as it is.
 */
export async function storeChunk(
  database: Database,
  handoff: Handoff,
  rows: readonly PlannedRow[],
  { nowMs, reconcileMs, traceparents }: ChunkOptions,
): Promise<StoredChunk> {
  const { chunk, written } = await database.transaction(async (tx) => {
    const { alive, fresh } = await insertRows(tx, rows, nowMs);
    const isNew = rows.filter((row) => fresh.has(keyText(row)));
    const allocated = await allocateItems(
      tx,
      isNew.filter((row) => row.inInbox),
    );
    const seqs = new Map(allocated.map((item) => [keyText(item), item.seq]));

    const added = new Map<string, Set<string>>();
    for (const { notificationId, userId } of isNew)
      added.set(notificationId, (added.get(notificationId) ?? new Set()).add(userId));
    await countExpanded(tx, new Map([...added].map(([id, users]) => [id, users.size])), reconcileMs);

    const records = isNew
      .filter((row) => row.state === S.QUEUED && row.stepChannel !== Channel.IN_APP)
      .map((row) => channelRecord(row, traceparents.get(row.notificationId)));
    return {
      written: records.length > 0 ? await handoff.write(tx, records) : undefined,
      chunk: {
        fresh: isNew.map((row) => ({ ...row, seq: seqs.get(keyText(row)) })),
        ended: new Set(rows.map((row) => row.notificationId).filter((id) => !alive.has(id))),
        before: rows.filter((row) => alive.has(row.notificationId) && !fresh.has(keyText(row))),
      },
    };
  });
  written?.committed();
  return chunk;
}

/**
 * A record came again: whoever had it may have died between commit and dispatch. Rows that nobody has taken since become due
 * at once. Returns those with an inbox item that no client has acknowledged, to be dispatched again.
 */
export async function redrive(db: Queryable, keys: readonly DeliveryKey[]): Promise<DeliveryRow[]> {
  if (keys.length === 0) return [];
  const { rows } = await db.query<StoredDelivery>({
    name: 'deliveries-redrive',
    text: `with again as materialized (
             select d.* from (
                 select * from unnest($1::uuid[], $2::text[], $3::smallint[]) as k(notification_id, user_id, channel)
                  order by notification_id, user_id collate "C", channel) k
              cross join lateral (
                select ${deliveryColumns} from deliveries d
                 where d.notification_id = k.notification_id and d.user_id = k.user_id and d.channel = k.channel
                   and d.state in (${S.QUEUED}, ${S.WAITING}, ${S.SENT})
                offset 0 for update skip locked) d
           ), woken as (
             update deliveries d set due_at = now() from again
              where d.notification_id = again.notification_id and d.user_id = again.user_id and d.channel = again.channel
                and d.fence = 0 and d.due_at > now()
           )
           select * from again where seq is not null and step_channel = ${Channel.IN_APP}`,
    values: [
      keys.map((key) => key.notificationId),
      keys.map((key) => key.userId),
      keys.map((key) => key.channel),
    ],
  });
  return rows.map(deliveryRow);
}
