// Envelope encryption: whoever has the database alone can read no secret, nor move one to where it was not sealed for.
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { CarillonError } from './errors.ts';

/** Of AES-256. */
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** The first byte of what is sealed: how. */
const AES_256_GCM = 1;

/** What a sealed text was sealed for, in parts that cannot run into one another. Opening asks for the same. */
export type SealedFor = readonly (string | number)[];

const additional = (parts: SealedFor): Buffer => Buffer.from(JSON.stringify(parts), 'utf8');

/** AES-256-GCM with a random nonce: version, nonce, ciphertext, tag. */
export function seal(key: Uint8Array, plain: Uint8Array, sealedFor: SealedFor): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(additional(sealedFor));
  const ciphertext = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([Buffer.of(AES_256_GCM), nonce, ciphertext, cipher.getAuthTag()]);
}

/** Throws SECRETS_UNREADABLE for another key, another purpose, or bytes that were changed. */
export function unseal(key: Uint8Array, sealed: Uint8Array, sealedFor: SealedFor): Buffer {
  const bytes = Buffer.from(sealed);
  if (bytes[0] !== AES_256_GCM || bytes.length < 1 + NONCE_BYTES + TAG_BYTES)
    throw new CarillonError('SECRETS_UNREADABLE');
  const nonce = bytes.subarray(1, 1 + NONCE_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(additional(sealedFor));
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(1 + NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch (cause) {
    throw new CarillonError('SECRETS_UNREADABLE', undefined, { cause });
  }
}

/** A data key as it is stored. */
interface WrappedKey {
  /** The master key it is sealed under. */
  masterKey: string;
  sealed: Uint8Array;
}

/** The port to who keeps master keys: this process's configuration, or a key management service. */
export interface MasterKeys {
  /** The one that `wrap` uses. */
  readonly current: string;
  /** Seals a data key; opening it asks for the same `sealedFor`. */
  wrap(key: Uint8Array, sealedFor: SealedFor): Promise<WrappedKey>;
  /** Rejects with SECRETS_UNREADABLE when it does not have the master key, or the key was sealed for something else. */
  unwrap(wrapped: WrappedKey, sealedFor: SealedFor): Promise<Uint8Array>;
}

/** A key's name: it says which key, and nothing about it. */
const idOf = (key: Uint8Array): string =>
  createHash('sha256').update('carillon master key\0').update(key).digest('hex').slice(0, 16);

/** Master keys in memory, 32 bytes each: the first seals, all open. */
export function masterKeysOf(keys: readonly [Uint8Array, ...Uint8Array[]]): MasterKeys {
  const byId = new Map(keys.map((key) => [idOf(key), key]));
  const current = idOf(keys[0]);
  return {
    current,
    async wrap(key, sealedFor) {
      return { masterKey: current, sealed: seal(keys[0], key, sealedFor) };
    },
    async unwrap({ masterKey, sealed }, sealedFor) {
      const key = byId.get(masterKey);
      if (!key)
        throw new CarillonError(
          'SECRETS_UNREADABLE',
          `The secrets of this tenant are sealed under the master key ${masterKey}, which this process does not have: name it in CARILLON_MASTER_KEY or CARILLON_MASTER_KEY_OLD.`,
        );
      return unseal(key, sealed, sealedFor);
    },
  };
}

/** A new key for AES-256. */
export const makeKey = (): Buffer => randomBytes(KEY_BYTES);

/** The bytes of a key written in base64, undefined unless there are 32. */
export function parseKey(text: string): Buffer | undefined {
  if (!/^[A-Za-z0-9+/]{43}=?$/.test(text)) return undefined;
  const key = Buffer.from(text, 'base64');
  return key.length === KEY_BYTES ? key : undefined;
}
