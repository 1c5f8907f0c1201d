// Another go for dead letters: marked as replayed in the same commit that puts their deliveries or records back.
import { fromBinary } from '@bufbuild/protobuf';
import type { Handoff } from '../eventlog/event-log.ts';
import { ChannelRecordSchema } from '../gen/carillon/v1/event_pb.ts';
import type { Database } from '../storage/database.ts';
import { PROVIDER_SOURCE, recordsOf, takeDeadLetters } from '../storage/dead-letters.ts';
import type { DeliveryKey } from '../storage/delivery-row.ts';
import { replayDelivery } from '../storage/end-step.ts';

/**
 * Replays these letters, or without `ids` the oldest `limits.deadLetterReplayCount`. Returns how many were taken up;
 * one that was replayed before, and a delivery that has ended meanwhile, is left as it is.
 */
export async function replayDeadLetters(
  db: Database,
  handoff: Handoff,
  tenant: string,
  ids: readonly string[],
): Promise<number> {
  const { count, written } = await db.transaction(async (tx) => {
    const letters = await takeDeadLetters(tx, tenant, ids);
    const rows = letters.filter(({ source }) => source === PROVIDER_SOURCE).map(({ value }) => rowOf(value));
    const records = recordsOf(letters);
    for (const row of rows.sort(byKey)) {
      const record = await replayDelivery(tx, row);
      if (record) records.push(record);
    }
    return {
      count: letters.length,
      written: records.length > 0 ? await handoff.write(tx, records) : undefined,
    };
  });
  written?.committed();
  return count;
}

function rowOf(value: Uint8Array): DeliveryKey {
  const { notificationId, userId, planChannel } = fromBinary(ChannelRecordSchema, value);
  return { notificationId, userId, channel: planChannel };
}

/** The order in which everybody locks delivery rows; ids by their bytes, as the database's "C". */
function byKey(a: DeliveryKey, b: DeliveryKey): number {
  return (
    Buffer.from(a.notificationId).compare(Buffer.from(b.notificationId)) ||
    Buffer.from(a.userId).compare(Buffer.from(b.userId)) ||
    a.channel - b.channel
  );
}
