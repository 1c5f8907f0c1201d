// Appends records to the PostgreSQL log in one statement: offsets are given out under the head rows' locks, taken in one order.

import { limits } from '../runtime/limits.ts';
import { byteaArray, int2Array, int4Array, textArray } from '../storage/binary-array.ts';
import type { Queryable } from '../storage/database.ts';
import type { LogRecord, ReceivedRecord } from './event-log.ts';

/** Records of one partition that follow one another, as a reader would find them. */
export interface Appended {
  topic: string;
  partition: number;
  /** The offset of the first. */
  first: bigint;
  records: readonly ReceivedRecord[];
}

/** FNV-1a of the key's UTF-16 units. Part of the stored format: another function would break the order of keys. */
export function partitionOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) {
    hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  }
  // The low bits alone mix badly.
  return ((hash ^ (hash >>> 15)) >>> 0) % limits.logPartitionsCount;
}

// A sorted upsert locks the heads in one order (fixed point 14) and makes those of a new topic. Until the commit nobody
// else gets an offset of these partitions, so that a reader never sees a later one first.
const APPEND = `
with heads as (
  insert into log_heads as h (topic, partition, next_offset)
  select n.topic, n.partition, n.records
  from unnest($1::text[], $2::smallint[], $3::integer[]) as n(topic, partition, records)
  order by n.topic collate "C", n.partition
  on conflict (topic, partition) do update set next_offset = h.next_offset + excluded.next_offset
  returning h.topic, h.partition, h.next_offset
), stored as (
  insert into log_records (topic, partition, "offset", key, value, headers, appended_at)
  select h.topic, h.partition, h.next_offset - r.back, r.key, r.value, r.headers::jsonb, to_timestamp($9::float8 / 1000)
  from unnest($4::text[], $5::smallint[], $6::integer[], $7::text[], $8::bytea[], $10::text[])
    as r(topic, partition, back, key, value, headers)
  join heads h on h.topic = r.topic and h.partition = r.partition
)
select topic, partition, next_offset from heads`;

interface Group {
  topic: string;
  partition: number;
  records: LogRecord[];
}

function byPartition(records: readonly LogRecord[]): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const record of records) {
    const partition = partitionOf(record.key);
    const name = `${record.topic}/${partition}`;
    const group = groups.get(name);
    if (group) group.records.push(record);
    else groups.set(name, { topic: record.topic, partition, records: [record] });
  }
  return groups;
}

/**
 * Appends within `tx`. Records of one partition keep their order. Returns them with the offsets that they have once
 * `tx` is committed.
 */
export async function appendRecords(
  tx: Queryable,
  records: readonly LogRecord[],
  nowMs: number,
): Promise<Appended[]> {
  if (records.length === 0) return [];
  const groups = byPartition(records);
  const heads = [...groups.values()];
  const rows = heads.flatMap(({ topic, partition, records: of }) =>
    of.map((record, index) => ({ topic, partition, back: of.length - index, record })),
  );
  const { rows: stored } = await tx.query<{ topic: string; partition: number; next_offset: string }>({
    name: 'log-append',
    text: APPEND,
    values: [
      textArray(heads.map((head) => head.topic)),
      int2Array(heads.map((head) => head.partition)),
      int4Array(heads.map((head) => head.records.length)),
      textArray(rows.map((row) => row.topic)),
      int2Array(rows.map((row) => row.partition)),
      int4Array(rows.map((row) => row.back)),
      textArray(rows.map((row) => row.record.key)),
      byteaArray(rows.map((row) => row.record.value)),
      nowMs,
      textArray(rows.map((row) => JSON.stringify(row.record.headers))),
    ],
  });
  return stored.map((head) => {
    const of = groups.get(`${head.topic}/${head.partition}`)?.records ?? [];
    const first = BigInt(head.next_offset) - BigInt(of.length);
    return {
      topic: head.topic,
      partition: head.partition,
      first,
      records: of.map((record, index) => ({
        ...record,
        partition: head.partition,
        offset: first + BigInt(index),
        appendedAtMs: nowMs,
      })),
    };
  });
}
