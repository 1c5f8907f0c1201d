// The form of an API key, `ck_<id>_<secret>`: 32 hexadecimal digits that name it, then 256 random bits in base64url.
import { hash, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto';

const FORM = /^ck_([0-9a-f]{32})_[A-Za-z0-9_-]{43}$/;
const PREFIX_CHARS = 11;

export interface MadeApiKey {
  readonly id: string;
  /** The whole key: shown once, kept nowhere. */
  readonly key: string;
  readonly hash: Uint8Array;
}

export const isApiKey = (token: string): boolean => token.startsWith('ck_');

export const hashOf = (key: string): Uint8Array => hash('sha256', key, 'buffer');

export function makeApiKey(): MadeApiKey {
  // Not a UUIDv7: the first digits are what a person knows it by, and must differ.
  const id = randomUUID();
  const key = `ck_${id.replaceAll('-', '')}_${randomBytes(32).toString('base64url')}`;
  return { id, key, hash: hashOf(key) };
}

/** The id inside a key; undefined when it does not have the form of one. */
export function apiKeyId(key: string): string | undefined {
  const digits = FORM.exec(key)?.[1];
  return digits?.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** By which a person knows it again. */
export const apiKeyPrefix = (id: string): string => `ck_${id.replaceAll('-', '')}`.slice(0, PREFIX_CHARS);

/** Takes as long whatever differs. */
export const sameHash = (one: Uint8Array, other: Uint8Array): boolean =>
  one.length === other.length && timingSafeEqual(one, other);
