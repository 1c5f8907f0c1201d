// The router's own records: a notification that is to be expanded, and the pages of a large one.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { LogRecord } from '../eventlog/event-log.ts';
import { fanoutTopic, rawTopic, userKey } from '../eventlog/topics.ts';
import { RawRecordSchema } from '../gen/carillon/v1/event_pb.ts';
import { type Lane, type Notification, NotificationSchema } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import type { DueNotification } from '../storage/expansion.ts';

const headersOf = (traceparent: string | undefined): Record<string, string> =>
  traceparent === undefined ? {} : { traceparent };

/** The users of an audience, each once, in the order in which they were given. */
export function audienceOf(notification: Notification): string[] {
  const { audience } = notification;
  return audience?.kind.case === 'users' ? [...new Set(audience.kind.value.ids)] : [];
}

/** The record that ingest wrote, once more. */
export function rawRecord({
  id,
  tenant,
  lane,
  payload,
  recipients,
  traceparent,
}: DueNotification): LogRecord {
  const only = recipients === 1 ? audienceOf(fromBinary(NotificationSchema, payload))[0] : undefined;
  return {
    topic: rawTopic(lane),
    key: only === undefined ? id : userKey(tenant, only),
    value: toBinary(RawRecordSchema, create(RawRecordSchema, { tenant, notificationId: id })),
    headers: headersOf(traceparent),
  };
}

/** One record for each page of `limits.pageUsersCount` users, keyed so that pages spread over the partitions. */
export function pageRecords(
  { id, tenant, lane }: { id: string; tenant: string; lane: Lane },
  users: number,
  traceparent: string | undefined,
): LogRecord[] {
  return Array.from({ length: Math.ceil(users / limits.pageUsersCount) }, (_, page) => {
    const from = page * limits.pageUsersCount;
    const upto = Math.min(from + limits.pageUsersCount, users);
    return {
      topic: fanoutTopic(lane),
      key: `${id}/${from}`,
      value: toBinary(RawRecordSchema, create(RawRecordSchema, { tenant, notificationId: id, from, upto })),
      headers: headersOf(traceparent),
    };
  });
}
