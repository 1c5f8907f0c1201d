// The `onPoison` of every consumer: the record becomes a dead letter, once, however often it comes again.
import { createHash } from 'node:crypto';
import type { Queryable } from '../storage/database.ts';
import { insertDeadLetter } from '../storage/dead-letters.ts';
import type { ReceivedRecord, SubscribeOptions } from './event-log.ts';

/** A UUIDv7 made of when and where the record stands on the log, and of who could not handle it. */
function letterId(group: string, { topic, partition, offset, appendedAtMs }: ReceivedRecord): string {
  const time = Math.max(0, Math.trunc(appendedAtMs)).toString(16).padStart(12, '0').slice(-12);
  const hash = createHash('sha256').update(`${group}\n${topic}\n${partition}\n${offset}`).digest('hex');
  const variant = ((Number.parseInt(hash.slice(3, 4), 16) & 3) | 8).toString(16);
  return [
    time.slice(0, 8),
    time.slice(8),
    `7${hash.slice(0, 3)}`,
    `${variant}${hash.slice(4, 7)}`,
    hash.slice(7, 19),
  ].join('-');
}

/** Returns the `onPoison` of a group: resolves when the dead letter is stored. */
export function keepDeadLetters(db: Queryable, group: string): SubscribeOptions['onPoison'] {
  return (record, error) => insertDeadLetter(db, { ...record, id: letterId(group, record) }, error);
}
