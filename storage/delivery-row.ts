// The shape of a delivery row: who it is for, the steps that were planned, where it stands.
import type { Channel, DeliveryState, Lane } from '../gen/carillon/v1/notification_pb.ts';

/** One step of a plan. The last one has no time limit: `afterMs` is 0. */
export interface Step {
  channel: Channel;
  /** How long this step may take before the next follows, milliseconds. */
  afterMs: number;
  /** What keeps the next step from being taken: the client's ack, or that the person read it. */
  until: 'ack' | 'read';
}

export interface DeliveryKey {
  notificationId: string;
  userId: string;
  /** The first channel that was asked for: the row's key, whatever step it has come to. */
  channel: Channel;
}

/** What a decision knew; flat, so that Explain can show it. */
export type Inputs = Readonly<Record<string, string | number | boolean>>;

/** A row as the plan wants it. */
export interface PlannedRow extends DeliveryKey {
  tenant: string;
  lane: Lane;
  state: DeliveryState;
  reason: string;
  steps: readonly Step[];
  step: number;
  stepChannel: Channel;
  /** Milliseconds since the epoch, by the planner's clock; undefined at an end. */
  dueAtMs: number | undefined;
  /** Whether an inbox item is stored with it. */
  inInbox: boolean;
  inputs: Inputs;
}

/** A row as it is stored. */
export interface DeliveryRow extends DeliveryKey {
  tenant: string;
  lane: Lane;
  state: DeliveryState;
  reason: string;
  steps: readonly Step[];
  step: number;
  stepChannel: Channel;
  /** The inbox item that belongs to it, by the seq under which it was first delivered. */
  seq: number | undefined;
  /** Provider calls in the current step, and over all steps. */
  tries: number;
  attempts: number;
  fence: number;
  /** Milliseconds since the epoch, by the database's clock. */
  createdAtMs: number;
}

/** A type that `pg` can read a row of `deliveryColumns` into. */
export type StoredDelivery = {
  notification_id: string;
  user_id: string;
  channel: number;
  tenant: string;
  lane: number;
  state: number;
  reason: string;
  steps: Step[];
  step: number;
  step_channel: number;
  seq: number | null;
  tries: number;
  attempts: number;
  fence: number;
  created_at: Date;
};

/** The columns of `StoredDelivery`, of the table that the statement calls `d`. */
export const deliveryColumns: string =
  'd.notification_id, d.user_id, d.channel, d.tenant, d.lane, d.state, d.reason, d.steps, d.step, d.step_channel, d.seq, d.tries, d.attempts, d.fence, d.created_at';

export function deliveryRow(stored: StoredDelivery): DeliveryRow {
  return {
    notificationId: stored.notification_id,
    userId: stored.user_id,
    channel: stored.channel as Channel,
    tenant: stored.tenant,
    lane: stored.lane as Lane,
    state: stored.state as DeliveryState,
    reason: stored.reason,
    steps: stored.steps,
    step: stored.step,
    stepChannel: stored.step_channel as Channel,
    seq: stored.seq ?? undefined,
    tries: stored.tries,
    attempts: stored.attempts,
    fence: stored.fence,
    createdAtMs: stored.created_at.getTime(),
  };
}

/** The step that follows the current one, if any. */
export const followingStep = (row: { steps: readonly Step[]; step: number }): Step | undefined =>
  row.steps[row.step + 1];
