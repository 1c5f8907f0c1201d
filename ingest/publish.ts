// Publish: a long stream of batches; each is answered after its commit, in order, and few are on their way at once.
import { create } from '@bufbuild/protobuf';
import type { HandlerContext } from '@connectrpc/connect';
import {
  type PublishRequest,
  type PublishResponse,
  PublishResponseSchema,
} from '../gen/carillon/v1/ingest_pb.ts';
import { limits } from '../runtime/limits.ts';
import { acceptAll } from './send-batch.ts';
import type { IngestContext } from './service.ts';

type Arrived = { result: IteratorResult<PublishRequest> } | { error: unknown };

const read = (input: AsyncIterator<PublishRequest>): Promise<Arrived> =>
  input.next().then(
    (result) => ({ result }),
    (error: unknown) => ({ error }),
  );

async function answer(shared: IngestContext, { batch, sends }: PublishRequest, call: HandlerContext) {
  return create(PublishResponseSchema, { batch, results: await acceptAll(shared, 'Publish', sends, call) });
}

/**
 * Answers come while the caller still sends, and the next batch is read only when one of `limits.publishBatchesCount` is
 * free. A batch that cannot be taken at all, or a stream that breaks, ends it after the answers to those before.
 */
export async function* publish(
  shared: IngestContext,
  requests: AsyncIterable<PublishRequest>,
  call: HandlerContext,
): AsyncGenerator<PublishResponse> {
  const input = requests[Symbol.asyncIterator]();
  const window: Promise<PublishResponse>[] = [];
  let reading: Promise<Arrived> | undefined;
  let over: { error?: unknown } | undefined;
  for (;;) {
    if (!over && window.length < limits.publishBatchesCount) reading ??= read(input);
    const first = window[0];
    if (!first && !reading) break;
    const event = await Promise.race([
      ...(first
        ? [
            first.then(
              () => undefined,
              () => undefined,
            ),
          ]
        : []),
      ...(reading ? [reading] : []),
    ]);
    if (event === undefined) {
      window.shift();
      if (first) yield await first;
      continue;
    }
    reading = undefined;
    if ('error' in event) over = event;
    else if (event.result.done) over = {};
    else {
      const taken = answer(shared, event.result.value, call);
      // Looked at in its turn; until then a rejection is not unhandled.
      taken.catch(() => undefined);
      window.push(taken);
    }
  }
  if (over && 'error' in over) throw over.error;
}
