// What could not be handled is kept whole: the record, why, and whether it was tried again since.
import { fromBinary } from '@bufbuild/protobuf';
import type { LogRecord } from '../eventlog/event-log.ts';
import { laneOfTopic } from '../eventlog/topics.ts';
import { ChannelRecordSchema, RawRecordSchema } from '../gen/carillon/v1/event_pb.ts';
import { Channel, ChannelSchema, type Lane } from '../gen/carillon/v1/notification_pb.ts';
import { isUuid } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Database, Queryable } from './database.ts';

/** `source` of letters that a provider worker leaves: their record says which delivery to put back. */
export const PROVIDER_SOURCE = 'provider';

export interface StoredDeadLetter {
  id: string;
  tenant: string;
  /** `provider`, or the topic of a record that could not be handled. */
  source: string;
  key: string;
  lane: Lane;
  channel: Channel;
  /** Empty when the record does not tell. */
  notificationId: string;
  userId: string;
  value: Uint8Array;
  headers: Readonly<Record<string, string>>;
  error: string;
  createdAt: Date;
  replayedAt: Date | undefined;
}

interface Row {
  id: string;
  tenant: string;
  source: string;
  key: string;
  lane: Lane;
  channel: Channel;
  notification_id: string | null;
  user_id: string;
  value: Buffer;
  headers: Record<string, string>;
  error: string;
  created_at: Date;
  replayed_at: Date | null;
}

const fromRow = ({ notification_id, user_id, created_at, replayed_at, ...row }: Row): StoredDeadLetter => ({
  ...row,
  notificationId: notification_id ?? '',
  userId: user_id,
  createdAt: created_at,
  replayedAt: replayed_at ?? undefined,
});

/** PostgreSQL's text takes no zero character, and its jsonb no half of a pair: what is odd must not keep a record from being kept. */
const storable = (text: string): string => text.replaceAll('\0', '').toWellFormed();

/** Whom a record is about, as far as its bytes can be read: they may be the reason why it is here. */
function about({ topic, value }: LogRecord) {
  const unknown = { tenant: '', notificationId: null, userId: '', channel: Channel.UNSPECIFIED };
  try {
    if (/^carillon\.(raw|fanout)\./.test(topic)) {
      const { tenant, notificationId } = fromBinary(RawRecordSchema, value);
      return {
        ...unknown,
        tenant: storable(tenant),
        notificationId: isUuid(notificationId) ? notificationId : null,
      };
    }
    const { tenant, notificationId, userId, planChannel } = fromBinary(ChannelRecordSchema, value);
    return {
      tenant: storable(tenant),
      notificationId: isUuid(notificationId) ? notificationId : null,
      userId: storable(userId),
      channel: ChannelSchema.value[planChannel] ? planChannel : Channel.UNSPECIFIED,
    };
  } catch {
    return unknown;
  }
}

function textOf(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return storable(text).slice(0, limits.deadLetterErrorChars);
}

/** Keeps `record`. The same `id` twice is one letter. */
export async function insertDeadLetter(
  db: Queryable,
  record: LogRecord & { id: string },
  error: unknown,
): Promise<void> {
  const { tenant, notificationId, userId, channel } = about(record);
  const headers = Object.entries(record.headers).map(([name, value]) => [storable(name), storable(value)]);
  await db.query({
    name: 'dead-letter-insert',
    text: `insert into dead_letters
        (id, tenant, source, key, lane, channel, notification_id, user_id, value, headers, error)
      values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
      on conflict (id) do nothing`,
    values: [
      record.id,
      tenant || 'default',
      record.topic,
      storable(record.key),
      laneOfTopic(record.topic),
      channel,
      notificationId,
      userId,
      Buffer.from(record.value),
      JSON.stringify(Object.fromEntries(headers)),
      textOf(error),
    ],
  });
}

export interface DeadLetterPage {
  letters: StoredDeadLetter[];
  /** Empty: this was the last page. */
  nextPageToken: string;
}

/** Letters that were not replayed, oldest first. `pageToken`: of the page before, or empty. */
export async function listDeadLetters(
  db: Queryable,
  tenant: string,
  { pageSize, pageToken }: { pageSize: number; pageToken: string },
): Promise<DeadLetterPage> {
  const { rows } = await db.query<Row>({
    name: 'dead-letter-list',
    text: `select * from dead_letters where tenant = $1 and replayed_at is null and id > $2
      order by id limit $3`,
    values: [tenant, isUuid(pageToken) ? pageToken : '00000000-0000-0000-0000-000000000000', pageSize + 1],
  });
  const letters = rows.slice(0, pageSize).map(fromRow);
  return { letters, nextPageToken: rows.length > pageSize ? (letters.at(-1)?.id ?? '') : '' };
}

/**
 * Marks letters as replayed within `tx` and returns them; what to do with them is the caller's, in the same transaction.
 * Without `ids` the oldest `limits.deadLetterReplayCount`. Letters that were replayed before are passed over.
 */
export async function takeDeadLetters(
  tx: Queryable,
  tenant: string,
  ids: readonly string[] = [],
): Promise<StoredDeadLetter[]> {
  const { rows } = await tx.query<Row>({
    name: 'dead-letter-take',
    text: `with taken as (
        select id from dead_letters
        where tenant = $1 and replayed_at is null and (cardinality($2::uuid[]) = 0 or id = any($2::uuid[]))
        order by id limit $3 for update
      )
      update dead_letters d set replayed_at = now() from taken where d.id = taken.id
      returning d.*`,
    values: [tenant, ids, limits.deadLetterReplayCount],
  });
  return rows.map(fromRow).sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** The records to append again for letters whose source is a topic. */
export function recordsOf(letters: readonly StoredDeadLetter[]): LogRecord[] {
  return letters
    .filter(({ source }) => source !== PROVIDER_SOURCE)
    .map(({ source, key, value, headers }) => ({ topic: source, key, value, headers }));
}

/** How many letters were not replayed, over all tenants; for the gauge. */
export async function countDeadLetters(db: Database): Promise<number> {
  const { rows } = await db.query<{ count: number }>({
    name: 'dead-letter-count',
    text: 'select count(*)::integer as count from dead_letters where replayed_at is null',
  });
  return rows[0]?.count ?? 0;
}
