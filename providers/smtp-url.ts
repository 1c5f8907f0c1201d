// CARILLON_SMTP_URL: `smtp[s]://user:pass@host:port?from=…`, read strictly, with credentials kept off plain connections.
import { CarillonError } from '../runtime/errors.ts';
import { isMailAddress, type Sender } from './mail.ts';
import { parseSender } from './settings.ts';

export interface SmtpTarget {
  host: string;
  port: number;
  /** TLS from the first byte (`smtps`); else STARTTLS when the server offers it. */
  secure: boolean;
  /** Refuse to go on without STARTTLS. */
  requireTls: boolean;
  /** Whether the server's certificate must be valid. */
  verify: boolean;
  auth: { user: string; pass: string } | undefined;
  sender: Sender;
  /** Where bounces go, with the attempt's id in the address (VERP); undefined: to the sender. */
  bounces: string | undefined;
}

/** Of `bounces`, so that there is room for `+` and an id in the 64 characters of a local part. */
const LOCAL_PART = /^[A-Za-z0-9._-]{1,27}$/;

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

function refuse(text: string): never {
  throw new CarillonError('CONFIG_INVALID', `CARILLON_SMTP_URL ${text}`);
}

function senderOf(from: string): Sender {
  return parseSender(from) ?? refuse(`needs ?from= with a mail address, such as from=news@example.org.`);
}

function bouncesOf(text: string | null): string | undefined {
  if (text === null) return undefined;
  if (!isMailAddress(text) || !LOCAL_PART.test(text.slice(0, text.lastIndexOf('@'))))
    refuse('needs a plain mail address in bounces, such as bounces=bounces@example.org.');
  return text;
}

/**
 * Parameters: `from` (an address, or `Name <address>`; needed), `starttls` (`required`, `optional`; required when there is
 * a password and the host is not loopback), `verify` (`false` accepts any certificate), `bounces` (the address that bounces go to, with
 * `+` and the attempt's id before its @). Throws CONFIG_INVALID; the
 * message never holds the password.
 */
export function parseSmtpUrl(text: string): SmtpTarget {
  const url = URL.parse(text);
  if (!url || !['smtp:', 'smtps:'].includes(url.protocol) || url.hostname === '')
    refuse('must look like smtp://user:password@host:587?from=news@example.org.');
  if (url.pathname !== '' && url.pathname !== '/') refuse('must not have a path.');
  for (const name of url.searchParams.keys())
    if (!['from', 'starttls', 'verify', 'bounces'].includes(name))
      refuse(`does not know the parameter ${name}.`);
  const secure = url.protocol === 'smtps:';
  const decoded = (part: string) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return refuse('has a user or password that is not percent-encoded.');
    }
  };
  const auth = url.username === '' ? undefined : { user: decoded(url.username), pass: decoded(url.password) };
  const starttls =
    url.searchParams.get('starttls') ?? (auth && !LOOPBACK.test(url.hostname) ? 'required' : 'optional');
  if (!['required', 'optional'].includes(starttls)) refuse('takes starttls=required or starttls=optional.');
  const verify = url.searchParams.get('verify') ?? 'true';
  if (!['true', 'false'].includes(verify)) refuse('takes verify=true or verify=false.');
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (secure ? 465 : 587) : Number(url.port),
    secure,
    requireTls: !secure && starttls === 'required',
    verify: verify === 'true',
    auth,
    sender: senderOf(url.searchParams.get('from') ?? ''),
    bounces: bouncesOf(url.searchParams.get('bounces')),
  };
}
