// The one place that says which moves of deliveries and notifications are allowed; docs/states.md is the same for people.
import { DeliveryState, NotificationState } from '../gen/carillon/v1/notification_pb.ts';

const D = DeliveryState;
const N = NotificationState;

/**
 * What each state of a delivery may become. A state that lists itself may be entered again by a later step of the same
 * row. A client's ack is a fact: it moves every state forward to DELIVERED, a read mark to OPENED.
 */
export const deliveryMoves: Readonly<Record<number, readonly DeliveryState[]>> = {
  [D.UNSPECIFIED]: [],
  [D.QUEUED]: [
    D.QUEUED,
    D.WAITING,
    D.SENDING,
    D.SENT,
    D.DELIVERED,
    D.OPENED,
    D.FAILED,
    D.DEAD,
    D.SUPPRESSED,
    D.SKIPPED,
    D.MERGED,
    D.CANCELLED,
    D.EXPIRED,
  ],
  [D.WAITING]: [
    D.QUEUED,
    D.WAITING,
    D.SENT,
    D.DELIVERED,
    D.OPENED,
    D.FAILED,
    D.BOUNCED,
    D.SUPPRESSED,
    D.SKIPPED,
    D.MERGED,
    D.CANCELLED,
    D.EXPIRED,
  ],
  // Cancel is too late for it; a definite failure may still end it as EXPIRED, or go back to QUEUED for a retry or the next step.
  [D.SENDING]: [
    D.QUEUED,
    D.WAITING,
    D.SENT,
    D.DELIVERED,
    D.OPENED,
    D.AMBIGUOUS,
    D.FAILED,
    D.DEAD,
    D.BOUNCED,
    D.SUPPRESSED,
    D.SKIPPED,
    D.EXPIRED,
  ],
  [D.AMBIGUOUS]: [
    D.QUEUED,
    D.WAITING,
    D.SENT,
    D.DELIVERED,
    D.OPENED,
    D.FAILED,
    D.DEAD,
    D.BOUNCED,
    D.SUPPRESSED,
    D.SKIPPED,
    D.CANCELLED,
    D.EXPIRED,
  ],
  // Receipts that come later.
  [D.SENT]: [D.DELIVERED, D.OPENED, D.FAILED, D.BOUNCED, D.SUPPRESSED],
  [D.DELIVERED]: [D.OPENED],
  [D.OPENED]: [],
  [D.FAILED]: [D.DELIVERED, D.OPENED],
  // QUEUED: it was replayed.
  [D.DEAD]: [D.QUEUED, D.DELIVERED, D.OPENED],
  [D.BOUNCED]: [D.DELIVERED, D.OPENED],
  [D.SUPPRESSED]: [D.DELIVERED, D.OPENED],
  [D.SKIPPED]: [D.DELIVERED, D.OPENED],
  [D.MERGED]: [D.DELIVERED, D.OPENED],
  [D.CANCELLED]: [D.DELIVERED, D.OPENED],
  [D.EXPIRED]: [D.DELIVERED, D.OPENED],
};

/** What each state of a notification may become. */
export const notificationMoves: Readonly<Record<number, readonly NotificationState[]>> = {
  [N.UNSPECIFIED]: [],
  [N.SCHEDULED]: [N.ACCEPTED, N.CANCELLED, N.EXPIRED],
  [N.ACCEPTED]: [N.EXPANDING, N.EXPANDED, N.CANCELLED, N.EXPIRED],
  [N.EXPANDING]: [N.EXPANDED, N.CANCELLED, N.EXPIRED],
  [N.EXPANDED]: [N.CANCELLED],
  [N.CANCELLED]: [],
  [N.EXPIRED]: [],
};

/** Deliveries in these states have a `due_at`; all others have none. */
export const openDeliveryStates: readonly DeliveryState[] = [D.QUEUED, D.WAITING, D.SENDING, D.AMBIGUOUS];

/** Notifications in these states have a `due_at`; all others have none. */
export const openNotificationStates: readonly NotificationState[] = [N.SCHEDULED, N.ACCEPTED, N.EXPANDING];

function sources<S extends number>(moves: Readonly<Record<number, readonly S[]>>, to: S): S[] {
  return Object.entries(moves)
    .filter(([, next]) => next.includes(to))
    .map(([from]) => Number(from) as S);
}

/** The states from which a delivery may become `to`, in the order of their numbers. */
export const mayBecome = (to: DeliveryState): DeliveryState[] => sources(deliveryMoves, to);

/** The states from which a notification may become `to`, in the order of their numbers. */
export const notificationMayBecome = (to: NotificationState): NotificationState[] =>
  sources(notificationMoves, to);

/**
 * As SQL, to stand in `where state in (…)` of a compare-and-set that makes deliveries `to`: `1, 2, 3`. Literals, not
 * parameters, so that the planner sees them.
 */
export const sqlMayBecome = (to: DeliveryState): string => mayBecome(to).join(', ');

/** As `sqlMayBecome`, for notifications. */
export const sqlNotificationMayBecome = (to: NotificationState): string =>
  notificationMayBecome(to).join(', ');

/** As SQL: the open states of deliveries. */
export const sqlOpenDeliveries: string = openDeliveryStates.join(', ');

/** As SQL: the open states of notifications. */
export const sqlOpenNotifications: string = openNotificationStates.join(', ');

/**
 * As SQL, over columns of `deliveries`: the row is waiting for a read mark, so that an ack alone does not end it. Such
 * an ack sets `reason` to `ACKED` and leaves state and due_at as they are.
 */
export const sqlAwaitsRead: string = `(state in (${sqlOpenDeliveries}) and coalesce(steps -> step::int ->> 'until', '') = 'read')`;
