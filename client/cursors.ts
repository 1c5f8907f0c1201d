// Where a cursor outlives the client: the port, and what is stored, which is trusted in nothing.
import type { Run } from './runs.ts';

/** Keeps a short text per key. What it throws is reported; the client then goes on without it. */
export interface CursorStore {
  load(key: string): string | undefined | Promise<string | undefined>;
  save(key: string, text: string): void | Promise<void>;
  remove(key: string): void | Promise<void>;
}

/** All up to `seq` was handled; `owed` of it may not have been acknowledged yet. */
export interface Kept {
  readonly cursor: string;
  readonly seq: number;
  readonly owed: readonly Run[];
}

const VERSION = 1;
const CURSOR_BYTES = 256;
const isSeq = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
const isRun = (value: unknown): value is Run =>
  Array.isArray(value) && value.length === 2 && isSeq(value[0]) && isSeq(value[1]) && value[0] < value[1];

export const formatKept = ({ cursor, seq, owed }: Kept): string =>
  JSON.stringify({ v: VERSION, cursor, seq, owed });

/** Undefined when it is not what `formatKept` makes. */
export function parseKept(text: string): Kept | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { v, cursor, seq, owed } = value as Record<string, unknown>;
  const sound =
    v === VERSION &&
    typeof cursor === 'string' &&
    cursor !== '' &&
    cursor.length <= CURSOR_BYTES &&
    isSeq(seq) &&
    Array.isArray(owed) &&
    owed.every((run) => isRun(run) && run[1] <= seq);
  return sound ? { cursor, seq, owed } : undefined;
}

/** One per user and device. */
export const keyOf = (user: string, deviceId: string): string =>
  `carillon:cursor:${JSON.stringify([user, deviceId])}`;
