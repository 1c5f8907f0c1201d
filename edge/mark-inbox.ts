// Marks the caller's items, and tells every device of theirs, on whichever edge it is.
import type { MarkInboxRequest, MarkInboxResponse } from '../gen/carillon/v1/edge_pb.ts';
import { CarillonError } from '../runtime/errors.ts';
import type { Identity } from '../runtime/identity.ts';
import { limits } from '../runtime/limits.ts';
import { type Marked, type MarkRequest, markKinds } from '../storage/inbox-marks.ts';
import { MAX_SEQ } from './cursor.ts';
import type { Reports } from './reports.ts';

export interface Marking {
  reports: Reports;
  mark: (request: MarkRequest) => Promise<Marked>;
  /** An inbox has got so far: the user's streams here and, by the links, everywhere are told. */
  changed: (user: { tenant: string; userId: string; head: number }) => void;
}

export async function markItems(
  { changed, reports, mark }: Marking,
  { tenant, userId }: Identity,
  { mark: asked, notificationIds, upto }: MarkInboxRequest,
): Promise<Pick<MarkInboxResponse, 'marked' | 'unseen' | 'unread'>> {
  const kind = markKinds.get(Number(asked));
  if (!kind) throw new CarillonError('INVALID_REQUEST');
  const what =
    notificationIds.length > 0
      ? { notificationIds }
      : { upto: Math.min(upto, MAX_SEQ), atMost: limits.markItemsCount };
  const { marked, head, unseen, unread, reported } = await mark({ tenant, userId, kind, what });
  reports.marked(reported, kind === 'read');
  if (marked > 0) changed({ tenant, userId, head });
  return { marked, unseen, unread };
}
