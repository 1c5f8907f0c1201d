// Explain: why one recipient got it, did not, or is still waiting.
import type { HandlerContext } from '@connectrpc/connect';
import type { ExplainRequest } from '../gen/carillon/v1/ingest_pb.ts';
import { CarillonError } from '../runtime/errors.ts';
import { principalOf } from '../runtime/identity.ts';
import { readExplanation } from '../storage/explanation.ts';
import { deliveryMessage } from '../storage/notifications.ts';
import { decisionsOf } from './decisions.ts';
import type { IngestContext } from './service.ts';

export async function explain(
  { database }: IngestContext,
  { notificationId, userId }: ExplainRequest,
  call: HandlerContext,
) {
  const { tenant } = principalOf(call);
  if (userId.includes('\0')) throw new CarillonError('DELIVERY_NOT_FOUND');
  const explanation = await readExplanation(database, tenant, notificationId, userId);
  const { deliveries, sent } = explanation;
  if (deliveries.length === 0 && !sent.audience?.kind.value?.ids.includes(userId))
    throw new CarillonError('DELIVERY_NOT_FOUND');
  return { deliveries: deliveries.map(deliveryMessage), decisions: decisionsOf(explanation) };
}
