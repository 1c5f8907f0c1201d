// Vonage's signatures: over all parameters but the signature itself, in order, by a hash with the secret or by an HMAC.
import { createHash, createHmac } from 'node:crypto';
import { sameText } from '../receipt-check.ts';

/** As the account's settings name them; `md5hash` is what accounts begin with. */
export const vonageMethods = ['md5hash', 'md5', 'sha1', 'sha256', 'sha512'] as const;

export type VonageMethod = (typeof vonageMethods)[number];

/**
 * In lower-case hexadecimal. What would divide parameters becomes `_` in their values.
 * Source: https://developer.vonage.com/en/getting-started/concepts/signing-messages.
 */
export function vonageSignature(
  parameters: Readonly<Record<string, string>>,
  secret: string,
  method: VonageMethod,
): string {
  const line = Object.keys(parameters)
    .filter((name) => name !== 'sig')
    .sort()
    .map((name) => `&${name}=${(parameters[name] ?? '').replaceAll(/[&=]/g, '_')}`)
    .join('');
  return method === 'md5hash'
    ? createHash('md5')
        .update(line + secret, 'utf8')
        .digest('hex')
    : createHmac(method, secret).update(line, 'utf8').digest('hex');
}

export function isVonageCall(
  parameters: Readonly<Record<string, string>>,
  secret: string,
  method: VonageMethod,
): boolean {
  // Values are kept from dividing parameters, names are not: with such a name the same line could say something else.
  if (Object.keys(parameters).some((name) => /[&=]/.test(name))) return false;
  return sameText((parameters.sig ?? '').toLowerCase(), vonageSignature(parameters, secret, method));
}
