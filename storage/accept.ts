// Accepted means committed: one multi-row statement stores idempotency keys and notifications, and their log records go along.
import { hash } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import type { Handoff, LogRecord, Written } from '../eventlog/event-log.ts';
import { rawTopic, userKey } from '../eventlog/topics.ts';
import { RawRecordSchema } from '../gen/carillon/v1/event_pb.ts';
import {
  Lane,
  type Notification,
  NotificationSchema,
  NotificationState,
} from '../gen/carillon/v1/notification_pb.ts';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import { byteaArray, int2Array, int4Array, int8Array, textArray, uuidArray } from './binary-array.ts';
import type { Database } from './database.ts';

/** A valid notification on its way in. */
export interface Offer {
  tenant: string;
  /** Empty: no idempotency. */
  key: string;
  /** A new UUIDv7; becomes the notification's id unless the key was used before. */
  id: string;
  notification: Notification;
  /** Handed on to whoever continues the flow. */
  traceparent: string | undefined;
}

/** An offer in the form in which it is stored. */
export interface Entry {
  readonly tenant: string;
  readonly key: string;
  readonly id: string;
  readonly lane: Lane;
  readonly category: string;
  readonly payload: Uint8Array;
  /** SHA-256 of the payload; empty without a key. */
  readonly requestHash: Buffer;
  readonly recipients: number;
  readonly traceparent: string;
  /** Milliseconds since the epoch; 0: at once. */
  readonly sendAtMs: number;
  readonly ttlMs: number;
  readonly record: LogRecord | undefined;
}

export interface Accepted {
  notificationId: string;
  duplicate: boolean;
}

const NO_HASH = Buffer.alloc(0);

/** The same request has the same bytes: fields stand in their order, and the map's keys are sorted here. */
function deterministicBytes(notification: Notification): Uint8Array {
  const { content } = notification;
  if (content) {
    const keys = Object.keys(content.data);
    if (keys.length > 1) {
      const data = content.data;
      content.data = Object.fromEntries(keys.sort().map((key) => [key, data[key] ?? '']));
    }
  }
  return toBinary(NotificationSchema, notification);
}

/**
 * Makes the entry of an offer; `nowMs` decides whether it is scheduled. Takes the audience's doubles out and sorts the
 * map of the content in place, so that the same request always has the same bytes.
 */
export function entryOf({ tenant, key, id, notification, traceparent = '' }: Offer, nowMs: number): Entry {
  const lane = notification.lane === Lane.UNSPECIFIED ? Lane.NORMAL : notification.lane;
  const users = notification.audience?.kind.value;
  if (users && users.ids.length > 1) users.ids = [...new Set(users.ids)];
  const { sendAt, ttl } = notification;
  const sendAtMs = sendAt ? Number(sendAt.seconds) * 1_000 + Math.floor(sendAt.nanos / 1_000_000) : 0;
  const scheduled = sendAtMs > nowMs;
  const payload = deterministicBytes(notification);
  const only = users?.ids.length === 1 ? users.ids[0] : undefined;
  return {
    tenant,
    key,
    id,
    lane,
    category: notification.category || 'default',
    payload,
    requestHash: key === '' ? NO_HASH : hash('sha256', payload, 'buffer'),
    recipients: users?.ids.length ?? 0,
    traceparent,
    sendAtMs: scheduled ? sendAtMs : 0,
    ttlMs: ttl ? Number(ttl.seconds) * 1_000 + Math.floor(ttl.nanos / 1_000_000) : limits.defaultTtlMs,
    record: scheduled
      ? undefined
      : {
          topic: rawTopic(lane),
          key: only === undefined ? id : userKey(tenant, only),
          value: toBinary(RawRecordSchema, create(RawRecordSchema, { tenant, notificationId: id })),
          headers: traceparent === '' ? {} : { traceparent },
        },
  };
}

// DO UPDATE, not DO NOTHING: a key that another transaction is just storing is waited for and returned. Sorted by key,
// so that batches that share keys queue up instead of deadlocking. Only keys that were used before come back.
const ACCEPT = `
with offered as (
  select * from unnest($1::text[], $2::text[], $3::bytea[], $4::uuid[], $5::smallint[], $6::text[], $7::bytea[], $8::integer[],
                       $9::text[], $10::bigint[], $11::bigint[])
    as o(tenant, key, hash, id, lane, category, payload, recipients, traceparent, send_at, ttl)
), keyed as (
  insert into idempotency_keys as k (tenant, key, request_hash, notification_id)
  select tenant, key, hash, id from offered where key <> '' order by tenant collate "C", key collate "C"
  on conflict (tenant, key) do update set request_hash = k.request_hash
  returning k.tenant, k.key, k.request_hash, k.notification_id
), stored as (
  insert into notifications (id, tenant, lane, category, state, payload, recipients, traceparent, created_at, expires_at, due_at)
  select id, tenant, lane, category, ${NotificationState.ACCEPTED}, payload, recipients, nullif(traceparent, ''), now(),
         now() + ttl * interval '1 ms', now() + interval '${limits.reconcileAfterMs} ms'
    from offered where send_at = 0 and (key = '' or id in (select notification_id from keyed))
), scheduled as (
  insert into notifications (id, tenant, lane, category, state, payload, recipients, traceparent, created_at, expires_at, due_at)
  select id, tenant, lane, category, ${NotificationState.SCHEDULED}, payload, recipients, nullif(traceparent, ''), now(),
         to_timestamp(send_at / 1000.0) + ttl * interval '1 ms', to_timestamp(send_at / 1000.0)
    from offered where send_at > 0 and (key = '' or id in (select notification_id from keyed))
)
select * from keyed where notification_id not in (select id from offered)`;

interface UsedRow {
  tenant: string;
  key: string;
  request_hash: Buffer;
  notification_id: string;
}

const nameOf = ({ tenant, key }: { tenant: string; key: string }): string => `${tenant}\u0000${key}`;

/** Entries of one batch that share a key: the first is stored, the others are told what became of it. */
function firstsOf(entries: readonly Entry[]): Map<Entry, Entry> {
  const firsts = new Map<string, Entry>();
  const firstOf = new Map<Entry, Entry>();
  for (const entry of entries) {
    if (entry.key === '') {
      firstOf.set(entry, entry);
      continue;
    }
    const name = nameOf(entry);
    const first = firsts.get(name) ?? entry;
    firsts.set(name, first);
    firstOf.set(entry, first);
  }
  return firstOf;
}

/**
 * Stores the entries in one commit. The outcomes stand in the order of `entries`: accepted (`duplicate` when the key was
 * used before with the same request), or IDEMPOTENCY_KEY_REUSED. Rejects with STORE_UNAVAILABLE when the commit is not
 * confirmed: repeat with the same key.
 */
export async function acceptBatch(
  database: Database,
  handoff: Handoff,
  entries: readonly Entry[],
): Promise<(Accepted | CarillonError)[]> {
  const firstOf = firstsOf(entries);
  const offered = entries.filter((entry) => firstOf.get(entry) === entry);
  const values = [
    textArray(offered.map(({ tenant }) => tenant)),
    textArray(offered.map(({ key }) => key)),
    byteaArray(offered.map(({ requestHash }) => requestHash)),
    uuidArray(offered.map(({ id }) => id)),
    int2Array(offered.map(({ lane }) => lane)),
    textArray(offered.map(({ category }) => category)),
    byteaArray(offered.map(({ payload }) => payload)),
    int4Array(offered.map(({ recipients }) => recipients)),
    textArray(offered.map(({ traceparent }) => traceparent)),
    int8Array(offered.map(({ sendAtMs }) => sendAtMs)),
    int8Array(offered.map(({ ttlMs }) => ttlMs)),
  ];
  let used = new Map<string, UsedRow>();
  const written: Written = await database.transaction(async (tx) => {
    const { rows } = await tx.query<UsedRow>({ name: 'accept', text: ACCEPT, values });
    used = new Map(rows.map((row) => [nameOf(row), row]));
    const records: LogRecord[] = [];
    for (const entry of offered)
      if (entry.record && (used.size === 0 || !used.has(nameOf(entry)))) records.push(entry.record);
    return handoff.write(tx, records);
  });
  written.committed();
  return entries.map((entry) => {
    const first = firstOf.get(entry) ?? entry;
    const row = used.size === 0 || entry.key === '' ? undefined : used.get(nameOf(entry));
    if (!(row?.request_hash ?? first.requestHash).equals(entry.requestHash))
      return new CarillonError('IDEMPOTENCY_KEY_REUSED');
    return {
      notificationId: row?.notification_id ?? first.id,
      duplicate: row !== undefined || first !== entry,
    };
  });
}

/** Deletes up to `limits.idempotencyTrimRows` keys past their time; returns how many. Call again while it is that many. */
export async function trimIdempotencyKeys(database: Database): Promise<number> {
  const { rowCount } = await database.query({
    name: 'trim_idempotency_keys',
    text: `delete from idempotency_keys where (tenant, key) in (
             select tenant, key from idempotency_keys
              where created_at < now() - $1 * interval '1 ms' order by tenant, key limit $2 for update skip locked)`,
    values: [limits.idempotencyKeptMs, limits.idempotencyTrimRows],
  });
  return rowCount ?? 0;
}
