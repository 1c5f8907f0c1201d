// Cancel: stops what has not gone out, and says how much was too late; never silence.
import type { HandlerContext } from '@connectrpc/connect';
import { CancelOutcome, type CancelRequest } from '../gen/carillon/v1/ingest_pb.ts';
import { principalOf } from '../runtime/identity.ts';
import { cancelNotification } from '../storage/cancel.ts';
import type { IngestContext } from './service.ts';

export async function cancel(
  { database }: IngestContext,
  { notificationId }: CancelRequest,
  call: HandlerContext,
) {
  const { tenant } = principalOf(call);
  const { cancelled, recipients, tooLate } = await cancelNotification(database, tenant, notificationId);
  return {
    outcome: cancelled ? CancelOutcome.CANCELLED : CancelOutcome.TOO_LATE,
    cancelled: recipients,
    tooLate,
  };
}
