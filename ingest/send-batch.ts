// SendBatch: up to 500 at once, each with its own outcome, together in as few commits as the queue can.
import type { HandlerContext } from '@connectrpc/connect';
import type { SendBatchRequest, SendRequest, SendResult } from '../gen/carillon/v1/ingest_pb.ts';
import { principalOf } from '../runtime/identity.ts';
import { limits } from '../runtime/limits.ts';
import { invalidRequest } from '../runtime/validation.ts';
import { intakeSpans } from './send.ts';
import type { IngestContext } from './service.ts';

/** The outcomes of `sends`, in their order. INVALID_REQUEST when they are too many or none. */
export async function acceptAll(
  shared: IngestContext,
  name: string,
  sends: readonly SendRequest[],
  call: HandlerContext,
): Promise<SendResult[]> {
  if (sends.length === 0 || sends.length > limits.sendBatchCount)
    throw invalidRequest([
      {
        field: 'sends',
        description: `must contain 1 to ${limits.sendBatchCount} items, not ${sends.length}`,
      },
    ]);
  const { root, commit } = intakeSpans(shared, name, call);
  try {
    root.set({ sends: sends.length });
    const { tenant } = principalOf(call);
    const caller = { tenant, traceparent: commit.traceparent, timeoutMs: call.timeoutMs() };
    return await Promise.all(sends.map((request) => shared.intake.outcome(request, caller)));
  } finally {
    commit.end();
    root.end();
  }
}

export async function sendBatch(shared: IngestContext, { sends }: SendBatchRequest, call: HandlerContext) {
  return { results: await acceptAll(shared, 'SendBatch', sends, call) };
}
