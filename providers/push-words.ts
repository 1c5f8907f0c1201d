// What an app is told beside what its platform shows: the same words on every platform, as docs/providers/push.md has them.
import { Lane } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import type { Message, SentMessage } from './provider.ts';

export interface PushWords {
  type: 'notification' | 'clear';
  /** The notification, which is also the collapse key: a second push of it replaces the first. */
  nid: string;
  /** The call that sent it. */
  aid: string;
  category?: string;
  /** As the sender of the notification gave it. */
  data?: Readonly<Record<string, string>>;
  actions?: readonly { label: string; url: string }[];
  image?: string;
}

export function wordsOf({ notificationId, attemptId, category, content }: Message): PushWords {
  const { data, actions, imageUrl } = content;
  return {
    type: 'notification',
    nid: notificationId,
    aid: attemptId,
    category,
    ...(Object.keys(data).length > 0 && { data }),
    ...(actions.length > 0 && { actions: actions.map(({ label, url }) => ({ label, url })) }),
    ...(imageUrl !== '' && { image: imageUrl }),
  };
}

/** Tells the app to take the notification off again. */
export const clearWordsOf = ({ notificationId, attemptId }: SentMessage): PushWords => ({
  type: 'clear',
  nid: notificationId,
  aid: attemptId,
});

/** Whole seconds that a message is worth keeping; 0: now or never. */
export function ttlSeconds(expiresAtMs: number, nowMs: number): number {
  const left = Math.floor((expiresAtMs - nowMs) / 1000);
  return Math.min(Math.max(left, 0), limits.pushTtlSeconds);
}

/** Bulk may wait until the device is awake anyway; people wait for the others. */
export const isUrgent = (lane: Lane): boolean => lane !== Lane.BULK;

/** An image that a platform may load by itself. */
export const imageOf = ({ content }: Message): string | undefined =>
  URL.parse(content.imageUrl)?.protocol === 'https:' ? content.imageUrl : undefined;
