// CARILLON_SMTP_URL: `smtp[s]://user:pass@host:port?from=…`, read strictly, with credentials kept off plain connections.
import { CarillonError } from '../runtime/errors.ts';
import { headerText, isMailAddress, type Sender } from './mail.ts';

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
}

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

function refuse(text: string): never {
  throw new CarillonError('CONFIG_INVALID', `CARILLON_SMTP_URL ${text}`);
}

function senderOf(from: string): Sender {
  const named = /^(.*)<([^<>]+)>\s*$/s.exec(from);
  const address = (named?.[2] ?? from).trim();
  if (!isMailAddress(address)) refuse(`needs ?from= with a mail address, such as from=news@example.org.`);
  return { name: headerText(named?.[1] ?? '').replace(/^"|"$/g, ''), address };
}

/**
 * Parameters: `from` (an address, or `Name <address>`; needed), `starttls` (`required`, `optional`; required when there is
 * a password and the host is not loopback), `verify` (`false` accepts any certificate). Throws CONFIG_INVALID; the
 * message never holds the password.
 */
export function parseSmtpUrl(text: string): SmtpTarget {
  const url = URL.parse(text);
  if (!url || !['smtp:', 'smtps:'].includes(url.protocol) || url.hostname === '')
    refuse('must look like smtp://user:password@host:587?from=news@example.org.');
  if (url.pathname !== '' && url.pathname !== '/') refuse('must not have a path.');
  for (const name of url.searchParams.keys())
    if (!['from', 'starttls', 'verify'].includes(name)) refuse(`does not know the parameter ${name}.`);
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
  };
}
