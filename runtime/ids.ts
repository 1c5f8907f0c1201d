// Ids and randomness come in through here: UUIDv7, so that an id carries its own creation time (and its partition).
import { randomUUIDv7 } from 'node:crypto';

/** Makes ids; a test hands in its own. */
export interface Ids {
  /** A UUIDv7 in its 36-character form. */
  uuid(): string;
  /** A number in [0, 1), for jitter. */
  random(): number;
}

export const systemIds: Ids = {
  uuid: () => randomUUIDv7(),
  random: () => Math.random(),
};

/** The creation time inside a UUIDv7, milliseconds since the epoch. */
export function uuidTimeMs(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export function isUuid(text: string): boolean {
  return UUID.test(text);
}
