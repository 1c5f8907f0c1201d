// The one way in for Send, SendBatch and Publish: check, shed, trace, queue for the commit, count.

import { create } from '@bufbuild/protobuf';
import type { Handoff } from '../eventlog/event-log.ts';
import { laneName, lanes } from '../eventlog/topics.ts';
import {
  type SendRequest,
  SendRequestSchema,
  type SendResult,
  SendResultSchema,
} from '../gen/carillon/v1/ingest_pb.ts';
import type { Notification } from '../gen/carillon/v1/notification_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { CarillonError, type FieldViolation } from '../runtime/errors.ts';
import type { Ids } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { invalidRequest, violationsOf } from '../runtime/validation.ts';
import { ownError } from '../runtime/wire-errors.ts';
import { type Accepted, entryOf } from '../storage/accept.ts';
import type { AcceptQueue } from '../storage/accept-queue.ts';
import { shed } from './shed.ts';

export interface IntakeOptions {
  queue: AcceptQueue;
  handoff: Pick<Handoff, 'backlog'>;
  clock: Clock;
  ids: Ids;
  metrics: Pick<Metrics, 'acceptedTotal' | 'acceptDuration'> | undefined;
  log: Log;
}

/** What the sender's call says besides the request. */
export interface Caller {
  tenant: string;
  /** Handed on with what is accepted. */
  traceparent: string | undefined;
  /** Milliseconds that are left; undefined: no deadline. */
  timeoutMs: number | undefined;
}

/** What the schema cannot say: PostgreSQL takes no U+0000, and a time to send must be one. */
function storableViolations({ notification, idempotencyKey }: SendRequest, nowMs: number): FieldViolation[] {
  const violations: FieldViolation[] = [];
  const nul = (field: string, text: string) => {
    if (text.includes('\0')) violations.push({ field, description: 'must not contain U+0000' });
  };
  nul('idempotency_key', idempotencyKey);
  if (!notification) return violations;
  nul('notification.category', notification.category);
  for (const id of notification.audience?.kind.value?.ids ?? []) nul('notification.audience.users.ids', id);
  const seconds = notification.sendAt?.seconds;
  if (seconds !== undefined && (seconds < 0n || seconds > (nowMs + limits.sendAheadMs) / 1_000))
    violations.push({
      field: 'notification.send_at',
      description: `must be after 1970 and at most ${limits.sendAheadMs / 86_400_000} days from now`,
    });
  return violations;
}

export class Intake {
  readonly #options: IntakeOptions;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the notification is on disk. Rejects with INVALID_REQUEST, OVERLOADED, IDEMPOTENCY_KEY_REUSED,
   * DEADLINE_EXCEEDED, STORE_UNAVAILABLE. `valid`: the schema's rules have been checked.
   */
  async accept(request: SendRequest, caller: Caller, valid: boolean): Promise<Accepted> {
    const { queue, handoff, clock, ids, metrics } = this.#options;
    const startMs = clock.monotonic();
    const nowMs = clock.now();
    const violations = valid ? [] : violationsOf(SendRequestSchema, request);
    if (violations.length === 0) violations.push(...storableViolations(request, nowMs));
    if (violations.length > 0) throw invalidRequest(violations);
    const offer = {
      tenant: caller.tenant,
      key: request.idempotencyKey,
      id: ids.uuid(),
      // Required by the schema.
      notification: request.notification as Notification,
      traceparent: caller.traceparent,
    };
    const entry = entryOf(offer, nowMs);
    shed(handoff, entry.lane);
    const accepted = await queue.accept(entry, caller.timeoutMs);
    if (!accepted.duplicate) metrics?.acceptedTotal.add(1, laneLabels[entry.lane]);
    metrics?.acceptDuration.record((clock.monotonic() - startMs) / 1_000);
    return accepted;
  }

  /** As `accept`, for one of many: its error becomes part of the answer. */
  async outcome(request: SendRequest, caller: Caller): Promise<SendResult> {
    try {
      const value = await this.accept(request, caller, false);
      return create(SendResultSchema, { outcome: { case: 'accepted', value } });
    } catch (error) {
      const { code, reason, message } = ownError(error, this.#options.log) ?? new CarillonError('INTERNAL');
      return create(SendResultSchema, { outcome: { case: 'error', value: { code, reason, message } } });
    }
  }
}

const laneLabels: Readonly<Record<number, { lane: string }>> = Object.fromEntries(
  lanes.map((lane) => [lane, { lane: laneName(lane) }]),
);
