// What a webhook of one's own calls back with: receipts in our own words, signed as our calls to it are.
import { z } from 'zod';
import { limits } from '../../runtime/limits.ts';
import type { Receipt, ReceiptRequest } from '../kind.ts';
import { attemptOf, parseJson, receipt, timeMs, unreadable } from '../receipt-check.ts';
import { verifyWebhook } from './signature.ts';

const line = z.string().max(1_024);
const receiptsSchema = z.object({
  /** What we post is signed by the same secret, and is of another type: nobody can play it back to us. */
  type: z.literal('receipts'),
  receipts: z
    .array(
      z.strictObject({
        kind: z.enum([
          'delivered',
          'deferred',
          'bounced',
          'failed',
          'opened',
          'clicked',
          'complained',
          'unsubscribed',
          'inbound',
        ]),
        attempt_id: line.optional(),
        message_id: line.optional(),
        address: line.optional(),
        at: line.optional(),
        permanent: z.boolean().optional(),
        reason: z.string().max(65_536).optional(),
      }),
    )
    .max(limits.receiptsPerCallCount),
});

/** Throws RECEIPT_FORGED, INVALID_REQUEST. */
export function readWebhookReceipts(
  { headers, body }: ReceiptRequest,
  { secrets }: { secrets: readonly string[] },
  nowMs: number,
): Receipt[] {
  const id = verifyWebhook(headers, body, secrets, nowMs);
  const said = receiptsSchema.safeParse(parseJson(body));
  if (!said.success)
    throw unreadable(`The body is not a list of receipts: ${said.error.issues[0]?.path.join('.')}`);
  return said.data.receipts.map((one, index) =>
    receipt({
      eventId: `${id}.${index}`,
      kind: one.kind,
      attemptId: attemptOf(one.attempt_id),
      messageId: one.message_id ?? '',
      address: one.address ?? '',
      atMs: timeMs(one.at, nowMs),
      permanent: one.permanent === true && (one.kind === 'bounced' || one.kind === 'failed'),
      reason: one.reason ?? '',
    }),
  );
}
