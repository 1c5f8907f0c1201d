// Where a stream begins: decided from the client's cursor and the head of its user's inbox, with the reason said.
import { Resume } from '../gen/carillon/v1/edge_pb.ts';
import { CarillonError } from '../runtime/errors.ts';
import type { Cursor } from './cursor.ts';

export type InitialResume =
  | {
      kind: 'start';
      resume: Resume;
      /** Empty when RESUMED. */
      reason: string;
      seq: number;
      /** Of the cursor at `seq`; undefined: when the head was read. */
      timeMs: number | undefined;
    }
  | { kind: 'refused'; error: CarillonError };

/** `keptSinceMs`: items accepted before it may have been removed by retention. */
export function resume(
  cursor: Cursor | undefined,
  epoch: string,
  head: number,
  keptSinceMs: number,
): InitialResume {
  if (cursor === undefined || cursor.epoch !== epoch)
    return {
      kind: 'start',
      resume: Resume.RESET,
      reason: cursor === undefined ? 'NO_CURSOR' : 'OTHER_EPOCH',
      seq: head,
      timeMs: undefined,
    };
  const { seq, timeMs } = cursor;
  if (seq > head) return { kind: 'refused', error: new CarillonError('CURSOR_AHEAD') };
  if (seq < head && timeMs < keptSinceMs)
    return { kind: 'start', resume: Resume.PARTIAL, reason: 'RETENTION', seq, timeMs };
  return { kind: 'start', resume: Resume.RESUMED, reason: '', seq, timeMs };
}
