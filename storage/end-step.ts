// The end of a row's current step: the next step of its plan, or its end; DEAD leaves a dead letter that can be replayed.
import { create, toBinary } from '@bufbuild/protobuf';
import type { Handoff, LogRecord, Written } from '../eventlog/event-log.ts';
import { channelTopic, userKey } from '../eventlog/topics.ts';
import { ChannelRecordSchema } from '../gen/carillon/v1/event_pb.ts';
import { type Channel, DeliveryState, type Lane } from '../gen/carillon/v1/notification_pb.ts';
import { systemIds } from '../runtime/ids.ts';
import type { Queryable } from './database.ts';
import { PROVIDER_SOURCE } from './dead-letters.ts';
import { takeNextStep } from './deliveries.ts';
import { type DeliveryKey, followingStep, type Step } from './delivery-row.ts';

const S = DeliveryState;

const ENDS = { sent: S.SENT, failed: S.FAILED, dead: S.DEAD } as const;

export interface HeldRow extends DeliveryKey {
  tenant: string;
  stepChannel: Channel;
  lane: Lane;
  fence: number;
  steps: readonly Step[];
  step: number;
}

/** `state`: where the row is now; undefined: it was not the caller's any more. `written`: to be published after the commit. */
export interface StepEnd {
  state: DeliveryState | undefined;
  written: Written | undefined;
}

export interface StepEnding {
  /** The states in which the row must be. */
  from: readonly DeliveryState[];
  reason: string;
  /** Where it ends when no further step can be taken: none is planned, or the notification has ended. */
  otherwise: 'sent' | 'failed' | 'dead';
  now: Date | null;
}

/** Ends the current step of a row that the caller holds, by its fence, inside the caller's transaction. */
export async function endStep(
  tx: Queryable,
  handoff: Handoff,
  row: HeldRow,
  { from, reason, otherwise, now }: StepEnding,
): Promise<StepEnd> {
  // A cancel locks the notification and then its rows: whoever changes both keeps to that order.
  await tx.query({
    name: 'end-step-notification',
    text: 'select from notifications where id = $1 for key share',
    values: [row.notificationId],
  });
  // From here on it is nobody's: a record of the next channel may take it.
  const { rowCount } = await tx.query({
    name: 'end-step-lock',
    text: `update deliveries set held = false, fence = fence + 1
           where notification_id = $1 and user_id = $2 and channel = $3 and fence = $4 and step_channel = $5
             and state = any($6::smallint[])`,
    values: [row.notificationId, row.userId, row.channel, row.fence, row.stepChannel, from],
  });
  if (rowCount !== 1) return { state: undefined, written: undefined };
  const fence = row.fence + 1;
  if (followingStep(row)) {
    const { rows, written } = await takeNextStep(tx, handoff, [{ row: { ...row, fence }, reason }]);
    if (rows[0]) return { state: rows[0].state, written };
  }
  const { rows: ended } = await tx.query<{ state: DeliveryState }>({
    name: 'end-step-row',
    // What a client has acknowledged was delivered, whoever was waited for after that.
    text: `update deliveries set state = case when reason = 'ACKED' and $5 = ${S.SENT} then ${S.DELIVERED} else $5::smallint end,
             reason = $6, due_at = null, updated_at = coalesce($7::timestamptz, now())
           where notification_id = $1 and user_id = $2 and channel = $3 and fence = $4 returning state`,
    values: [row.notificationId, row.userId, row.channel, fence, ENDS[otherwise], reason, now],
  });
  if (otherwise === 'dead') await bury(tx, row, reason);
  return { state: ended[0]?.state, written: undefined };
}

/** Keeps a dead letter of a row that ends as DEAD, with the record that would wake it again. */
export async function bury(tx: Queryable, row: HeldRow, error: string): Promise<void> {
  await tx.query({
    name: 'end-step-bury',
    text: `insert into dead_letters (id, tenant, source, key, lane, channel, notification_id, user_id, value, error)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    values: [
      systemIds.uuid(),
      row.tenant,
      PROVIDER_SOURCE,
      userKey(row.tenant, row.userId),
      row.lane,
      row.stepChannel,
      row.notificationId,
      row.userId,
      Buffer.from(recordOf(row)),
      error,
    ],
  });
}

const recordOf = (row: DeliveryKey & { tenant: string }): Uint8Array =>
  toBinary(
    ChannelRecordSchema,
    create(ChannelRecordSchema, {
      tenant: row.tenant,
      notificationId: row.notificationId,
      userId: row.userId,
      planChannel: row.channel,
    }),
  );

interface ReplayedRow {
  tenant: string;
  lane: number;
  step_channel: number;
  traceparent: string | null;
}

/**
 * Puts a DEAD row back to QUEUED with all its tries. Returns undefined when the row is not DEAD (it was replayed before, or an
 * ack came), else the record on its channel's topic, to be handed off last in the same transaction. Whoever replays several
 * does so in the order of their keys, as all lock rows.
 */
export async function replayDelivery(
  tx: Queryable,
  row: DeliveryKey,
  now: Date | null = null,
): Promise<LogRecord | undefined> {
  const { rows } = await tx.query<ReplayedRow>({
    name: 'end-step-replay',
    text: `update deliveries d set state = ${S.QUEUED}, reason = 'REPLAYED', tries = 0, held = false, fence = d.fence + 1,
             due_at = coalesce($4::timestamptz, now()), updated_at = coalesce($4::timestamptz, now())
           where d.notification_id = $1 and d.user_id = $2 and d.channel = $3 and d.state = ${S.DEAD}
           returning d.tenant, d.lane, d.step_channel,
             (select n.traceparent from notifications n where n.id = $1) as traceparent`,
    values: [row.notificationId, row.userId, row.channel, now],
  });
  const [found] = rows;
  if (!found) return undefined;
  return {
    topic: channelTopic(found.step_channel as Channel, found.lane as Lane),
    key: userKey(found.tenant, row.userId),
    value: recordOf({ ...row, tenant: found.tenant }),
    headers: found.traceparent === null ? {} : { traceparent: found.traceparent },
  };
}
