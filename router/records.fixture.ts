// Raw records as a batch of the log, and the delivery rows that came of them.
import { create, toBinary } from '@bufbuild/protobuf';
import type { Batch, LogRecord } from '../eventlog/event-log.ts';
import { rawTopic } from '../eventlog/topics.ts';
import { RawRecordSchema } from '../gen/carillon/v1/event_pb.ts';
import { Lane } from '../gen/carillon/v1/notification_pb.ts';
import { systemClock } from '../runtime/clock.ts';
import type { Database } from '../storage/database.ts';

export function batchOf(
  ids: readonly string[],
  records: readonly LogRecord[] = [],
  signal = new AbortController().signal,
): Batch {
  const raw = ids.map((notificationId) => ({
    topic: rawTopic(Lane.NORMAL),
    key: notificationId,
    value: toBinary(RawRecordSchema, create(RawRecordSchema, { tenant: 'default', notificationId })),
    headers: {},
  }));
  return {
    topic: rawTopic(Lane.NORMAL),
    partition: 0,
    signal,
    records: [...raw, ...records].map((record, index) => ({
      ...record,
      partition: 0,
      offset: BigInt(index),
      appendedAtMs: systemClock.now(),
    })),
  };
}

export interface Row extends Record<string, unknown> {
  user_id: string;
  state: number;
  reason: string;
  step_channel: number;
  seq: number | null;
  due: number | null;
}

export async function rowsOf(db: Database, id: string): Promise<Row[]> {
  const { rows } = await db.query<Row>({
    text: `select user_id, state, reason, step_channel, seq, round(extract(epoch from due_at - now()))::int as due
             from deliveries where notification_id = $1 order by user_id, channel`,
    values: [id],
  });
  return rows;
}
