// What an HTTP answer of a provider means, as data: one row per answer, our own sentence for it, and the page that says so.
import { limits } from '../runtime/limits.ts';
import type { Outcome } from './provider.ts';

/**
 * `invalid`, `gone`: permanent, and the address is at fault. `policy`: permanent, and we are at fault as a sender.
 * `throttled`: for as long as the provider says, else for the row's `waitMs`. The others are kinds of outcomes.
 */
export type Verdict =
  | 'transient'
  | 'throttled'
  | 'permanent'
  | 'invalid'
  | 'gone'
  | 'policy'
  | 'down'
  | 'config'
  | 'unknown';

export interface AnswerRow {
  /** Of the HTTP answer; absent: whatever it is. */
  status?: number | '2xx' | '3xx' | '4xx' | '5xx';
  /** The provider's own code in the answer, as text; absent: whatever it says, or nothing. */
  code?: string;
  verdict: Verdict;
  /** Ours: what providers say may name the address, or quote the content. */
  says: string;
  /** Of `throttled`, when the provider does not say how long. */
  waitMs?: number;
  source: string;
}

export interface Said {
  status: number;
  /** The provider's own code, when there is one. */
  code?: string | undefined;
  retryAfterMs?: number | undefined;
}

const http = 'RFC 9110 §15';

/** What holds for every provider where its own table says nothing. */
export const generalAnswers: readonly AnswerRow[] = [
  { status: '2xx', verdict: 'unknown', says: 'it was accepted, but the answer cannot be read', source: http },
  { status: '3xx', verdict: 'config', says: 'the API is somewhere else', source: http },
  { status: 400, verdict: 'permanent', says: 'the request is refused', source: http },
  { status: 401, verdict: 'config', says: 'the credentials are refused', source: http },
  { status: 402, verdict: 'config', says: 'the account has to be paid for', source: http },
  { status: 403, verdict: 'config', says: 'the account may not do this', source: http },
  { status: 404, verdict: 'config', says: 'there is no such API here', source: http },
  { status: 405, verdict: 'config', says: 'the API does not take this method', source: http },
  { status: 407, verdict: 'config', says: 'a proxy wants credentials', source: http },
  { status: 408, verdict: 'transient', says: 'the request did not arrive in time', source: http },
  { status: 415, verdict: 'config', says: 'the API does not take this format', source: http },
  { status: 429, verdict: 'throttled', says: 'too many requests', source: 'RFC 6585 §4' },
  { status: '4xx', verdict: 'permanent', says: 'the request is refused', source: http },
  // A gateway that had no answer in time had passed the request on.
  { status: 504, verdict: 'unknown', says: 'a gateway got no answer in time', source: http },
  { status: '5xx', verdict: 'down', says: 'the service fails', source: http },
  { verdict: 'unknown', says: 'an answer that makes no sense', source: http },
];

function matches(row: AnswerRow, { status, code }: Said): boolean {
  const { status: wanted } = row;
  const fits =
    wanted === undefined ||
    (typeof wanted === 'number' ? wanted === status : wanted[0] === String(Math.trunc(status / 100)));
  return fits && (row.code === undefined || row.code === code);
}

/** The first row that fits, of the provider's table and then of what holds for all. */
export function rowOf(rows: readonly AnswerRow[], said: Said): AnswerRow {
  return [...rows, ...generalAnswers].find((row) => matches(row, said))!;
}

/** A code as it may stand in a reason: what is longer or stranger than any provider's code is left out. */
const printable = (code: string | undefined): string =>
  code !== undefined && /^[\w.:-]{1,64}$/.test(code) ? `, ${code}` : '';

/** The outcome of a row, for what was said. */
export function outcomeOfRow({ verdict, says, waitMs }: AnswerRow, said: Said): Outcome {
  const reason = `${says} (HTTP ${said.status}${printable(said.code)})`;
  switch (verdict) {
    case 'invalid':
    case 'gone':
      return { kind: 'permanent', reason, address: verdict };
    case 'policy':
      return { kind: 'permanent', reason, policy: true };
    case 'throttled':
      return {
        kind: 'throttled',
        reason,
        retryAfterMs: said.retryAfterMs ?? waitMs ?? limits.throttledUnsaidMs,
      };
    case 'transient':
      return { kind: 'transient', reason, ...(said.retryAfterMs && { retryAfterMs: said.retryAfterMs }) };
    default:
      return { kind: verdict, reason };
  }
}

/** What an answer that is no success means. */
export function outcomeOf(rows: readonly AnswerRow[], said: Said): Outcome {
  return outcomeOfRow(rowOf(rows, said), said);
}
