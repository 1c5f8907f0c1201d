// GetNotification: where each recipient stands, page by page.
import type { HandlerContext } from '@connectrpc/connect';
import type { GetNotificationRequest } from '../gen/carillon/v1/ingest_pb.ts';
import { principalOf } from '../runtime/identity.ts';
import { limits } from '../runtime/limits.ts';
import { invalidRequest } from '../runtime/validation.ts';
import { type After, readStatus } from '../storage/notifications.ts';
import type { IngestContext } from './service.ts';

const encodeToken = ({ userId, channel }: After): string =>
  Buffer.from(`${channel} ${userId}`).toString('base64url');

function decodeToken(token: string): After | undefined {
  if (token === '') return undefined;
  const [, channel, userId] = /^([0-9]{1,3}) (.+)$/s.exec(Buffer.from(token, 'base64url').toString()) ?? [];
  if (channel === undefined || userId === undefined || userId.includes('\0'))
    throw invalidRequest([{ field: 'page_token', description: 'is not one that Carillon gave out' }]);
  return { userId, channel: Number(channel) };
}

export async function getNotification(
  { database }: IngestContext,
  { notificationId, pageSize, pageToken }: GetNotificationRequest,
  call: HandlerContext,
) {
  const { tenant } = principalOf(call);
  const { status, next } = await readStatus(database, tenant, notificationId, {
    pageSize: pageSize || limits.statusPageRows,
    after: decodeToken(pageToken),
  });
  return { status, nextPageToken: next ? encodeToken(next) : '' };
}
