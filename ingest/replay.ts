// Another go for dead letters: marked as replayed in the same commit that puts their deliveries or records back.
import { fromBinary } from '@bufbuild/protobuf';
import type { Handoff, Written } from '../eventlog/event-log.ts';
import { ChannelRecordSchema } from '../gen/carillon/v1/event_pb.ts';
import type { Database } from '../storage/database.ts';
import { PROVIDER_SOURCE, recordsOf, takeDeadLetters } from '../storage/dead-letters.ts';
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
    const written: (Written | undefined)[] = [];
    for (const { source, value } of letters) {
      if (source !== PROVIDER_SOURCE) continue;
      const { notificationId, userId, planChannel } = fromBinary(ChannelRecordSchema, value);
      written.push(await replayDelivery(tx, handoff, { notificationId, userId, channel: planChannel }));
    }
    const records = recordsOf(letters);
    if (records.length > 0) written.push(await handoff.write(tx, records));
    return { count: letters.length, written };
  });
  for (const each of written) each?.committed();
  return count;
}
