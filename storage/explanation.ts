// All that is kept of one recipient's deliveries: what the plan knew, each step, each provider call, each mark in the inbox.
import { fromBinary } from '@bufbuild/protobuf';
import { type Notification, NotificationSchema } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import type { Database } from './database.ts';
import type { Step } from './delivery-row.ts';
import {
  type DeliveryStatusRow,
  deliveryStatusColumns,
  type NotificationRow,
  readNotification,
} from './notifications.ts';

/** A step that was left for the next one. */
export interface MovedStep {
  at: string;
  from: number;
  to: number;
  reason: string;
}

export type ExplainedDelivery = DeliveryStatusRow & {
  steps: readonly Step[];
  step: number;
  /** What the plan knew, and under `moved` the steps that were left. */
  inputs: Readonly<Record<string, string | number | boolean | readonly MovedStep[]>>;
  created_at: Date;
  /** When what it pushed is to be taken back, or is tried again; and how often that was tried. */
  clear_due_at: Date | null;
  clear_tries: number;
};

export type ExplainedAttempt = {
  step_channel: number;
  provider: string;
  address: string;
  outcome: string;
  provider_message_id: string;
  error: string;
  started_at: Date;
  ended_at: Date | null;
  /** What came of taking it back; empty: nothing yet, or it was not to be. */
  clear_outcome: string;
  clear_error: string;
  cleared_at: Date | null;
};

export type ExplainedItem = {
  first_seq: number;
  created_at: Date;
  seen_at: Date | null;
  read_at: Date | null;
  archived_at: Date | null;
};

export interface Explanation {
  notification: NotificationRow;
  /** As it was sent. */
  sent: Notification;
  deliveries: readonly ExplainedDelivery[];
  /** The first `limits.explainAttemptsCount`, oldest first. */
  attempts: readonly ExplainedAttempt[];
  items: readonly ExplainedItem[];
}

/** In one snapshot. NOTIFICATION_NOT_FOUND. */
export function readExplanation(
  database: Database,
  tenant: string,
  id: string,
  userId: string,
): Promise<Explanation> {
  return database.snapshot(async (tx) => {
    const notification = await readNotification(tx, tenant, id);
    const { rows: payloads } = await tx.query<{ payload: Buffer }>({
      name: 'explain-payload',
      text: 'select payload from notifications where id = $1',
      values: [id],
    });
    const { rows: deliveries } = await tx.query<ExplainedDelivery>({
      name: 'explain-deliveries',
      text: `select ${deliveryStatusColumns}, steps, step, inputs, created_at, clear_due_at, clear_tries from deliveries
              where notification_id = $1 and user_id = $2 order by channel`,
      values: [id, userId],
    });
    const { rows: attempts } = await tx.query<ExplainedAttempt>({
      name: 'explain-attempts',
      text: `select step_channel, provider, address, outcome, provider_message_id, error, started_at, ended_at,
                    clear_outcome, clear_error, cleared_at
               from delivery_attempts where notification_id = $1 and user_id = $2 order by started_at, id limit $3`,
      values: [id, userId, limits.explainAttemptsCount],
    });
    const { rows: items } = await tx.query<ExplainedItem>({
      name: 'explain-items',
      text: `select i.first_seq, i.created_at, i.seen_at, i.read_at, i.archived_at
               from deliveries d join inbox_items i
                 on i.tenant = d.tenant and i.user_id = d.user_id and i.first_seq = d.seq and i.notification_id = d.notification_id
              where d.notification_id = $1 and d.user_id = $2`,
      values: [id, userId],
    });
    return {
      notification,
      sent: fromBinary(NotificationSchema, payloads[0]?.payload ?? new Uint8Array(), {
        readUnknownFields: false,
      }),
      deliveries,
      attempts,
      items,
    };
  });
}
