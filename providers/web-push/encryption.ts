// Encrypts for one browser, so that its push service cannot read it: RFC 8291 over the aes128gcm coding of RFC 8188, one record.
import { createCipheriv, createECDH, hkdfSync, randomBytes } from 'node:crypto';

export interface Reader {
  /** Uncompressed point on P-256, 65 bytes. */
  publicKey: Buffer;
  /** 16 bytes. */
  auth: Buffer;
}

/** Made anew for each message; given in tests. */
export interface Once {
  privateKey: Buffer;
  salt: Buffer;
}

const RECORD_BYTES = 4_096;
/** RFC 8188: the last record ends so. */
const LAST = Buffer.of(2);

const hkdf = (secret: Buffer, salt: Buffer, info: Buffer | string, length: number): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, salt, info, length));

/** The body of the request: 86 bytes of header, the text, 1 of delimiter, 16 of tag. Throws when the key is no point of the curve. */
export function encryptFor({ publicKey, auth }: Reader, text: Buffer, once?: Once): Buffer {
  const ours = createECDH('prime256v1');
  if (once) ours.setPrivateKey(once.privateKey);
  else ours.generateKeys();
  const salt = once?.salt ?? randomBytes(16);
  const ourKey = ours.getPublicKey();
  const info = Buffer.concat([Buffer.from('WebPush: info\0'), publicKey, ourKey]);
  const secret = hkdf(ours.computeSecret(publicKey), auth, info, 32);
  const key = hkdf(secret, salt, 'Content-Encoding: aes128gcm\0', 16);
  const nonce = hkdf(secret, salt, 'Content-Encoding: nonce\0', 12);
  const cipher = createCipheriv('aes-128-gcm', key, nonce);
  const header = Buffer.alloc(21);
  salt.copy(header);
  header.writeUInt32BE(RECORD_BYTES, 16);
  header.writeUInt8(ourKey.length, 20);
  return Buffer.concat([
    header,
    ourKey,
    cipher.update(text),
    cipher.update(LAST),
    cipher.final(),
    cipher.getAuthTag(),
  ]);
}
