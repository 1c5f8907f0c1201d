// A backend that sends numbered notifications to a set of users, one after the other, in full batches.
import { createClient } from '@connectrpc/connect';
import { IngestService } from '../../gen/carillon/v1/ingest_pb.ts';
import { Channel } from '../../gen/carillon/v1/notification_pb.ts';
import { backendTransport } from '../support/transports.ts';

const BATCH = 250;

/** Sends `count` in-app notifications titled `1` … `count`, each to all `users`; every batch waits for its answer. */
export async function sendNumbered(ingest: string, users: readonly string[], count: number): Promise<void> {
  const client = createClient(IngestService, backendTransport(ingest));
  for (let from = 1; from <= count; from += BATCH) {
    const sends = Array.from({ length: Math.min(BATCH, count - from + 1) }, (_, index) => ({
      idempotencyKey: `numbered-${from + index}`,
      notification: {
        audience: { kind: { case: 'users' as const, value: { ids: [...users] } } },
        content: { title: String(from + index), body: 'one of many' },
        channels: [Channel.IN_APP],
      },
    }));
    const { results } = await client.sendBatch({ sends });
    const refused = results.find(({ outcome }) => outcome.case !== 'accepted');
    if (refused) throw new Error(`a send was refused: ${JSON.stringify(refused.outcome.value)}`);
  }
}
