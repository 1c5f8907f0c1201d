// Send: answers after the notification is on disk.
import type { HandlerContext } from '@connectrpc/connect';
import type { SendRequest } from '../gen/carillon/v1/ingest_pb.ts';
import { principalOf } from '../runtime/identity.ts';
import type { Span } from '../runtime/tracing.ts';
import type { IngestContext } from './service.ts';

/** Begins the trace of an intake: the caller's `traceparent` is joined when it is one. */
export function intakeSpans(
  { tracing }: IngestContext,
  name: string,
  call: HandlerContext,
): { root: Span; commit: Span } {
  const root = tracing.root(name, {
    parent: call.requestHeader.get('traceparent') ?? undefined,
    kind: 'server',
  });
  // What is stored and handed on hangs below the commit.
  return { root, commit: tracing.span('commit', { parent: root.traceparent }) };
}

export async function send(shared: IngestContext, request: SendRequest, call: HandlerContext) {
  const { root, commit } = intakeSpans(shared, 'Send', call);
  try {
    const { tenant } = principalOf(call);
    const caller = { tenant, traceparent: commit.traceparent, timeoutMs: call.timeoutMs() };
    const accepted = await shared.intake.accept(request, caller, true);
    root.set({ notification_id: accepted.notificationId, duplicate: accepted.duplicate });
    return accepted;
  } catch (error) {
    root.fail(error);
    throw error;
  } finally {
    commit.end();
    root.end();
  }
}
