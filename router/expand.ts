// From a record to stored rows: reads the notifications of a batch at once, plans page by page, commits, shows who is here.
import { fromBinary } from '@bufbuild/protobuf';
import type { Presence, Whereabouts } from '../cluster/presence.ts';
import type { Batch, Handoff, ReceivedRecord } from '../eventlog/event-log.ts';
import { laneName } from '../eventlog/topics.ts';
import { logWaited } from '../eventlog/waits.ts';
import { RawRecordSchema } from '../gen/carillon/v1/event_pb.ts';
import { type Lane, NotificationState } from '../gen/carillon/v1/notification_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import { isSampled, type Span, type Tracing } from '../runtime/tracing.ts';
import type { Database } from '../storage/database.ts';
import type { PlannedRow } from '../storage/delivery-row.ts';
import {
  beginExpanding,
  expireNotifications,
  type LoadedNotification,
  loadNotifications,
} from '../storage/expansion.ts';
import { inboxOnly, loadRecipients, type Recipient } from '../storage/recipients.ts';
import { redrive, storeChunk } from '../storage/store-deliveries.ts';
import type { Counts } from './counts.ts';
import { plan } from './plan.ts';
import { needsAddresses, type Policy, policyOf } from './policy.ts';
import type { Presenter } from './present.ts';
import { audienceOf, pageRecords } from './records.ts';
import { type Reach, whom } from './whom.ts';

const N = NotificationState;

export interface ExpanderOptions extends Reach {
  lane: Lane;
  database: Database;
  handoff: Handoff;
  presence: Presence;
  presenter: Presenter;
  counts: Counts;
  clock: Clock;
  tracing: Tracing;
}

/** A notification of the batch and the span that covers its work. */
interface Flow {
  notification: LoadedNotification;
  policy: Policy;
  span: Span;
  needsAddresses: boolean;
}

interface Pending {
  flow: Flow;
  userId: string;
}

interface Situated extends Pending {
  recipient: Recipient;
  where: Whereabouts;
}

interface Read {
  record: ReceivedRecord;
  notificationId: string;
  from: number;
  upto: number;
}

export class Expander {
  readonly #options: ExpanderOptions;

  constructor(options: ExpanderOptions) {
    this.#options = options;
  }

  /** Handles a batch of raw or fan-out records; resolves when their effects are committed. Safe to repeat. */
  async onBatch({ records, signal }: Batch): Promise<void> {
    const { database, clock } = this.#options;
    const reads = records.map((record): Read => {
      const { notificationId, from, upto } = fromBinary(RawRecordSchema, record.value);
      return { record, notificationId, from, upto };
    });
    const loaded = await loadNotifications(
      database,
      reads.map(({ notificationId }) => notificationId),
      clock.now(),
    );
    const flows = this.#flows(reads, loaded);
    try {
      const pending = await this.#gather(reads, flows);
      for (let at = 0; at < pending.length; at += limits.pageUsersCount)
        await this.#page(pending.slice(at, at + limits.pageUsersCount), signal);
    } catch (error) {
      for (const { span } of flows.values()) span.fail(error);
      throw error;
    } finally {
      for (const { span } of flows.values()) span.end();
    }
  }

  /** One span for each sampled notification, under the wait in the log that its record had. */
  #flows(reads: readonly Read[], loaded: ReadonlyMap<string, LoadedNotification>): Map<string, Flow> {
    const { tracing, lane } = this.#options;
    const flows = new Map<string, Flow>();
    const links: string[] = [];
    for (const { record, notificationId } of reads) {
      const notification = loaded.get(notificationId);
      // Retention removed it: nothing is left to do.
      if (!notification || flows.has(notificationId)) continue;
      const { traceparent = notification.traceparent } = record.headers;
      const span = tracing.span('plan', {
        parent: logWaited(tracing, record, traceparent),
        links,
        attributes: { 'carillon.notification_id': notificationId, 'carillon.lane': laneName(lane) },
      });
      if (isSampled(traceparent) && traceparent && links.length < limits.spanLinksCount)
        links.push(traceparent);
      const policy = policyOf(notification);
      flows.set(notificationId, { notification, policy, span, needsAddresses: needsAddresses(policy) });
    }
    return flows;
  }

  /** The recipients to plan now, in the order of the records. Larger audiences become pages; the rest is left out. */
  async #gather(reads: readonly Read[], flows: ReadonlyMap<string, Flow>): Promise<Pending[]> {
    const { database, handoff, clock } = this.#options;
    const pending: Pending[] = [];
    const seen = new Set<string>();
    const late: string[] = [];
    let budget: number = limits.batchUsersCount;
    for (const { notificationId, from, upto } of reads) {
      const flow = flows.get(notificationId);
      if (!flow || !isExpandable(flow.notification.state)) continue;
      const { notification, span } = flow;
      if (notification.expiresAtMs <= clock.now()) late.push(notificationId);
      const users = audienceOf(notification.notification);
      const whole = upto === 0;
      if (whole && (users.length > limits.pageUsersCount || users.length > budget)) {
        if (seen.has(notificationId)) continue;
        seen.add(notificationId);
        const pages = pageRecords(notification, users.length, span.traceparent);
        await beginExpanding(database, handoff, notificationId, pages, limits.reconcileMs);
        continue;
      }
      if (whole) budget -= users.length;
      for (const userId of whole ? users : users.slice(from, upto)) {
        const key = `${notificationId}${userId}`;
        if (seen.has(key)) continue;
        seen.add(key);
        pending.push({ flow, userId });
      }
    }
    // By the database's clock, which decides; what it does not call late yet is planned, and stored as its rows say.
    await expireNotifications(database, late);
    return pending;
  }

  async #page(pending: readonly Pending[], signal: AbortSignal): Promise<void> {
    const { database, presence } = this.#options;
    const keys = pending.map(({ flow, userId }) => ({ tenant: flow.notification.tenant, userId }));
    const asking = keys.filter((_, index) => pending[index]!.flow.needsAddresses);
    const [whereabouts, found] = await Promise.all([presence.locate(keys), loadRecipients(database, asking)]);
    const recipients = found.values();
    const situated = pending.map((one, index): Situated => {
      const recipient = one.flow.needsAddresses ? recipients.next().value : undefined;
      return { ...one, recipient: recipient ?? inboxOnly(keys[index]!), where: whereabouts[index]! };
    });
    const ended = new Set<string>();
    for (let at = 0; at < situated.length; at += limits.commitRecipientsCount) {
      signal.throwIfAborted();
      const chunk = situated
        .slice(at, at + limits.commitRecipientsCount)
        .filter(({ flow }) => !ended.has(flow.notification.id));
      for (const id of await this.#chunk(chunk)) ended.add(id);
    }
    if (ended.size > 0) await expireNotifications(database, [...ended]);
  }

  /** Plans and stores up to 100 recipients in one commit, then shows them. Returns the notifications that ended meanwhile. */
  async #chunk(chunk: readonly Situated[]): Promise<ReadonlySet<string>> {
    const { database, handoff, clock, counts, presenter } = this.#options;
    const nowMs = clock.now();
    const flows = new Map(chunk.map(({ flow }) => [flow.notification.id, flow]));
    const where = new Map<string, Whereabouts>();
    const rows = chunk.flatMap(({ flow, recipient, where: at }): PlannedRow[] => {
      where.set(whoseKey(recipient), at);
      return plan({ ...flow.notification, policy: flow.policy }, recipient, at, nowMs);
    });
    if (rows.length === 0) return new Set();
    const traceparents = new Map<string, string>();
    for (const [id, { span }] of flows) if (span.traceparent) traceparents.set(id, span.traceparent);
    const stored = await storeChunk(database, handoff, rows, {
      nowMs,
      reconcileMs: limits.reconcileMs,
      traceparents,
    });
    counts.reached(stored.fresh);
    const again = await redrive(database, stored.before);
    const items = [...stored.fresh.map((row) => ({ ...row, fence: 0 })), ...again].flatMap((row) =>
      row.seq === undefined ? [] : [{ ...row, seq: row.seq }],
    );
    await this.#locateAgain(items, where);
    const edges = whom(this.#options);
    const shown = items.flatMap((row) => {
      const at = where.get(whoseKey(row));
      const flow = flows.get(row.notificationId);
      if (!at || !flow || (at.vanishedAtMs === undefined && edges(row, at).length === 0)) return [];
      return [{ row, where: at, notification: flow.notification, traceparent: flow.span.traceparent }];
    });
    await presenter.present(shown);
    return stored.ended;
  }

  /**
   * Who came between the plan and the commit has read a head without the new item, and would see it only at the next
   * heartbeat. Who comes after this look reads a head that has it. Where the hints are lost nobody is looked for again: that
   * would take its time, and all who may hold the user are asked.
   */
  async #locateAgain(
    items: readonly { tenant: string; userId: string }[],
    where: Map<string, Whereabouts>,
  ): Promise<void> {
    const absent = items.filter((row) => {
      const at = where.get(whoseKey(row));
      return at?.known && at.edges.length === 0;
    });
    if (absent.length === 0) return;
    const found = await this.#options.presence.locate(absent);
    absent.forEach((row, index) => {
      where.set(whoseKey(row), found[index]!);
    });
  }
}

const isExpandable = (state: NotificationState): boolean =>
  state === N.ACCEPTED || state === N.EXPANDING || state === N.EXPANDED;

const whoseKey = ({ tenant, userId }: { tenant: string; userId: string }): string =>
  `${tenant}\u001f${userId}`;
