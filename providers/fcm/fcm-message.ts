// What FCM is sent for a message, by the device's platform, and how much of it counts against FCM's bound.
import { Platform } from '../../gen/carillon/v1/edge_pb.ts';
import { limits } from '../../runtime/limits.ts';
import type { DestinationAddress } from '../../storage/addresses.ts';
import { appleClear, applePush } from '../apple-payload.ts';
import type { Message, SentMessage } from '../provider.ts';
import { clearWordsOf, imageOf, isUrgent, type PushWords, ttlSeconds, wordsOf } from '../push-words.ts';
import type { FcmSettings } from './fcm-settings.ts';

type Device = Extract<DestinationAddress, { kind: 'device' }>;

/** https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages */
export interface FcmMessage {
  token: string;
  notification?: { title?: string; body?: string; image?: string };
  data?: Record<string, string>;
  android?: {
    collapse_key: string;
    priority: 'HIGH' | 'NORMAL';
    ttl: string;
    notification?: { tag: string };
  };
  apns?: { headers: Readonly<Record<string, string>>; payload: unknown; fcm_options?: { image: string } };
}

/** FCM's data are strings: what is none becomes JSON. The sender's own keys stay inside, where none can be one of FCM's. */
function dataOf(words: PushWords, texts: Record<string, string> = {}): Record<string, string> {
  const entries = Object.entries({ ...words, ...texts });
  return Object.fromEntries(
    entries.map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)]),
  );
}

export function fcmMessage(
  message: Message,
  { token, platform }: Device,
  display: FcmSettings['display'],
  nowMs: number,
): FcmMessage {
  const { content, notificationId, lane, expiresAtMs } = message;
  const image = imageOf(message);
  if (platform === Platform.IOS)
    return { token, apns: { ...applePush(message, nowMs), ...(image && { fcm_options: { image } }) } };
  const texts = {
    ...(content.title !== '' && { title: content.title }),
    ...(content.body !== '' && { body: content.body }),
  };
  const shown = display === 'system';
  return {
    token,
    ...(shown && { notification: { ...texts, ...(image && { image }) } }),
    data: dataOf(wordsOf(message), shown ? {} : texts),
    android: {
      collapse_key: notificationId,
      priority: isUrgent(lane) ? 'HIGH' : 'NORMAL',
      ttl: `${ttlSeconds(expiresAtMs, nowMs)}s`,
      // A second one replaces the first, and the app can take it off by this name.
      ...(shown && { notification: { tag: notificationId } }),
    },
  };
}

/** A message that nobody sees. FCM demotes apps whose urgent ones show nothing, so it is not urgent. */
export function fcmClear(sent: SentMessage, { token, platform }: Device, nowMs: number): FcmMessage {
  if (platform === Platform.IOS) return { token, apns: appleClear(sent, nowMs) };
  return {
    token,
    data: dataOf(clearWordsOf(sent)),
    android: { collapse_key: sent.notificationId, priority: 'NORMAL', ttl: `${limits.pushClearSeconds}s` },
  };
}

/** Bytes of keys and values, as FCM counts them; for iOS of the payload, as Apple does. */
export function fcmBytes({ notification, data, apns }: FcmMessage): number {
  if (apns) return Buffer.byteLength(JSON.stringify(apns.payload));
  const pairs = [...Object.entries(notification ?? {}), ...Object.entries(data ?? {})];
  return pairs.reduce((sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value), 0);
}
