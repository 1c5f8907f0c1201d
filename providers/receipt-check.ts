// What every reader of receipts needs: comparisons in constant time, a window against replays, and errors that fail closed.
import { createHash, timingSafeEqual } from 'node:crypto';
import { CarillonError } from '../runtime/errors.ts';
import { isUuid } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Receipt } from './kind.ts';

export const forged = (text: string): CarillonError => new CarillonError('RECEIPT_FORGED', text);

export const unreadable = (text: string): CarillonError => new CarillonError('INVALID_REQUEST', text);

/** Compares secrets in a time that does not depend on where they differ. */
export function sameBytes(left: Buffer, right: Buffer): boolean {
  return left.length === right.length && timingSafeEqual(left, right);
}

export const sameText = (left: string, right: string): boolean =>
  sameBytes(Buffer.from(left), Buffer.from(right));

/** Throws RECEIPT_FORGED unless `atMs` is within `windowMs` before now; clocks may differ by `limits.receiptSkewMs`. */
export function requireFresh(atMs: number, nowMs: number, windowMs: number): void {
  if (!(atMs >= nowMs - windowMs && atMs <= nowMs + limits.receiptSkewMs))
    throw forged('The time of this call is not within the window that is taken.');
}

/** The body as JSON. Throws INVALID_REQUEST. */
export function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw unreadable('The body is not JSON.');
  }
}

/** An object with string keys; undefined for everything else. */
export function record(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

/** A text field; empty for everything else, numbers as text. */
export function text(value: unknown): string {
  if (typeof value === 'string') return value;
  return typeof value === 'number' ? String(value) : '';
}

/** Our id of a call as a provider brought it back; empty when it is none. */
export const attemptOf = (value: unknown): string => {
  const id = text(value).toLowerCase();
  return isUuid(id) ? id : '';
};

/** A time in the provider's words; now when it cannot be read. */
export function timeMs(value: unknown, nowMs: number): number {
  const ms = Date.parse(text(value));
  return Number.isNaN(ms) ? nowMs : ms;
}

/** An id for an event that has none: the same words have the same id. */
export function digest(...parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url').slice(0, 32);
}

/** A receipt with what most of them do not have. */
export function receipt(says: Pick<Receipt, 'eventId' | 'kind' | 'atMs'> & Partial<Receipt>): Receipt {
  const { attemptId = '', messageId = '', address = '', permanent = false, reason = '' } = says;
  const line = says.kind === 'inbound' ? reason : reason.replace(/[\p{C}\s]+/gu, ' ').trim();
  return {
    ...says,
    attemptId,
    messageId,
    address,
    permanent,
    reason: line.slice(0, limits.providerReasonChars),
  };
}
