// X-Twilio-Signature: HMAC-SHA1 over the URL that Twilio called and its form's fields, or over the URL and a digest of the body.
import { createHash, createHmac } from 'node:crypto';
import { sameText } from '../receipt-check.ts';

/** Of a URL: with its scheme's usual port, and without any. Nothing else of it is touched: Twilio signed these characters. */
function withAndWithoutPort(url: string): string[] {
  const found = /^([a-z][a-z0-9+.-]*):\/\/((?:[^/?#@]*@)?)(\[[^\]]*\]|[^/?#:]*)(?::\d*)?([/?#].*|)$/is.exec(
    url,
  );
  if (!found) return [url];
  const [, scheme = '', user = '', host = '', rest = ''] = found;
  const port = scheme.toLowerCase() === 'https' ? '443' : '80';
  return [url, `${scheme}://${user}${host}${rest}`, `${scheme}://${user}${host}:${port}${rest}`];
}

/** The fields by name; of several of one name each value once, in order. */
function fieldText(form: URLSearchParams): string {
  const names = [...new Set(form.keys())].sort();
  return names
    .map((name) =>
      [...new Set(form.getAll(name))]
        .sort()
        .map((value) => name + value)
        .join(''),
    )
    .join('');
}

/** The signature of a call. */
export function twilioSignature(authToken: string, url: string, form: URLSearchParams): string {
  return createHmac('sha1', authToken)
    .update(url + fieldText(form), 'utf8')
    .digest('base64');
}

/**
 * Whether the call is Twilio's. `form`: its fields; undefined when the body is something else, such as JSON, which then must be
 * the one whose SHA-256 stands in the URL's `bodySHA256`. Source: https://www.twilio.com/docs/usage/webhooks/webhooks-security.
 */
export function isTwilioCall(
  authToken: string,
  signature: string,
  url: string,
  body: Buffer,
  form: URLSearchParams | undefined,
): boolean {
  if (!form) {
    const digest = URL.parse(url)?.searchParams.get('bodySHA256') ?? '';
    if (!sameText(digest.toLowerCase(), createHash('sha256').update(body).digest('hex'))) return false;
  }
  const fields = form ?? new URLSearchParams();
  return withAndWithoutPort(url)
    .map((candidate) => sameText(signature, twilioSignature(authToken, candidate, fields)))
    .includes(true);
}
