// Settings that several kinds of providers share: base URLs that keep credentials off plain connections, senders, secrets.
import { z } from 'zod';
import { headerText, isMailAddress, type Sender } from './mail.ts';

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** An https URL, or http on loopback, without query, fragment and credentials. */
export function isBaseUrl(text: string): boolean {
  const url = URL.parse(text);
  if (!url) return false;
  const { protocol, hostname, username, password, search, hash } = url;
  if (username + password + search + hash !== '') return false;
  return protocol === 'https:' || (protocol === 'http:' && LOOPBACK.test(hostname));
}

/** Where a provider's API is; another than its own for a region, a proxy, or a test. */
export const baseUrl = (usual: string) =>
  z.string().refine(isBaseUrl, 'must be an https URL, or http on loopback, without query').default(usual);

/** A key, token or password as it goes into a header: one line, nothing around it. */
export const secret = z
  .string()
  .regex(/^[\x21-\x7e]{1,512}$/, 'must be 1 to 512 visible ASCII characters without spaces');

/** `Name <address>` or an address; undefined when it is neither. */
export function parseSender(text: string): Sender | undefined {
  const named = /^(.*)<([^<>]+)>\s*$/s.exec(text);
  const address = (named?.[2] ?? text).trim();
  if (!isMailAddress(address)) return undefined;
  return { name: headerText(named?.[1] ?? '').replace(/^"|"$/g, ''), address };
}

/** A sender of mail: `news@example.org` or `Example <news@example.org>`. */
export const mailSender = z
  .string()
  .refine(
    (text) => parseSender(text) !== undefined,
    'must be a mail address, such as Example <news@example.org>',
  );
