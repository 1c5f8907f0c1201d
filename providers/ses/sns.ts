// Messages of Amazon SNS over HTTP: from one topic, signed by a certificate that Amazon itself serves, fetched once and kept.
import { verify, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { CarillonError } from '../../runtime/errors.ts';
import { limits } from '../../runtime/limits.ts';
import { Lru } from '../../runtime/lru.ts';
import { HttpCaller, type HttpCallerOptions } from '../http-call.ts';
import { forged, requireFresh } from '../receipt-check.ts';
import { publicLookup } from '../webhook/public-address.ts';

/** Fetches an https URL of SNS; rejects when there is no answer of status 200, or a long one. */
export type FetchSns = (url: string) => Promise<Buffer>;

const common = {
  MessageId: z.string().regex(/^[\w-]{1,128}$/),
  TopicArn: z.string(),
  Message: z.string(),
  Timestamp: z.string(),
  SignatureVersion: z.enum(['1', '2']),
  Signature: z.string(),
  SigningCertURL: z.string(),
};
const control = { ...common, SubscribeURL: z.string(), Token: z.string() };
const snsMessage = z.discriminatedUnion('Type', [
  z.object({ ...common, Type: z.literal('Notification'), Subject: z.string().nullish() }),
  z.object({ ...control, Type: z.literal('SubscriptionConfirmation') }),
  z.object({ ...control, Type: z.literal('UnsubscribeConfirmation') }),
]);
type SnsMessage = z.infer<typeof snsMessage>;

/** Names and values, each on its line. Source: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html. */
function signedText(message: SnsMessage): string {
  const { Message, MessageId, Timestamp, TopicArn, Type } = message;
  const fields =
    message.Type === 'Notification'
      ? { Message, MessageId, Subject: message.Subject ?? undefined, Timestamp, TopicArn, Type }
      : {
          Message,
          MessageId,
          SubscribeURL: message.SubscribeURL,
          Timestamp,
          Token: message.Token,
          TopicArn,
          Type,
        };
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}\n${value}\n`)
    .join('');
}

/** Whether an https URL is Amazon's SNS, at its usual port. */
export function isSnsUrl(text: string): boolean {
  const url = URL.parse(text);
  return (
    url?.protocol === 'https:' &&
    url.port === '' &&
    url.username === '' &&
    url.password === '' &&
    /^sns\.[a-z0-9-]{3,}\.amazonaws\.com(\.cn)?$/.test(url.hostname)
  );
}

function certificateOf(pem: Buffer): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw forged('What should be a certificate is none.');
  }
}

export class SnsReader {
  readonly #fetch: FetchSns;
  readonly #certificates = new Lru<X509Certificate>(limits.snsCertificatesCount);
  readonly #fetching = new Map<string, Promise<X509Certificate>>();

  constructor(fetch: FetchSns) {
    this.#fetch = fetch;
  }

  /** Of several calls with one certificate, one fetches it. A certificate that cannot be had now may be had later. */
  async #certificate(url: string): Promise<X509Certificate> {
    const kept = this.#certificates.get(url);
    if (kept) return kept;
    const under = this.#fetching.get(url);
    if (under) return await under;
    if (this.#fetching.size >= limits.snsCertificatesCount)
      throw new CarillonError('UNREACHABLE', 'Too many certificates of SNS are being fetched.');
    const fetching = this.#fetchCertificate(url).finally(() => this.#fetching.delete(url));
    this.#fetching.set(url, fetching);
    return await fetching;
  }

  async #fetchCertificate(url: string): Promise<X509Certificate> {
    const certificate = certificateOf(await this.#get(url));
    this.#certificates.set(url, certificate);
    return certificate;
  }

  async #get(url: string): Promise<Buffer> {
    try {
      return await this.#fetch(url);
    } catch (cause) {
      throw new CarillonError('UNREACHABLE', 'SNS does not answer; it will call again.', { cause });
    }
  }

  async #verify(message: SnsMessage, nowMs: number): Promise<void> {
    const { SigningCertURL, SignatureVersion, Signature } = message;
    if (!isSnsUrl(SigningCertURL) || !new URL(SigningCertURL).pathname.endsWith('.pem'))
      throw forged('The certificate is not one of Amazon SNS.');
    const certificate = await this.#certificate(SigningCertURL);
    const signed = Buffer.from(signedText(message));
    const algorithm = SignatureVersion === '1' ? 'RSA-SHA1' : 'RSA-SHA256';
    const { publicKey, validFromDate, validToDate } = certificate;
    const good =
      publicKey.asymmetricKeyType === 'rsa' &&
      validFromDate.getTime() <= nowMs &&
      validToDate.getTime() >= nowMs &&
      verify(algorithm, signed, publicKey, Buffer.from(Signature, 'base64'));
    if (!good) throw forged('This call does not bear the signature of Amazon SNS.');
  }

  /**
   * The message in a call; undefined when SNS only talked about the subscription itself. One to a topic of ours is confirmed;
   * that it ended is taken note of, and it is not begun anew. Rejects with RECEIPT_FORGED; UNREACHABLE when Amazon does not answer.
   */
  async read(
    body: Buffer,
    topicArn: string | undefined,
    nowMs: number,
  ): Promise<{ id: string; text: string } | undefined> {
    const parsed = snsMessage.safeParse(parse(body));
    if (!parsed.success) throw forged('This call is not one of Amazon SNS.');
    const message = parsed.data;
    if (topicArn === undefined || message.TopicArn !== topicArn)
      throw forged('This call is not from the topic that is believed.');
    await this.#verify(message, nowMs);
    requireFresh(Date.parse(message.Timestamp), nowMs, limits.snsWindowMs);
    if (message.Type === 'Notification') return { id: message.MessageId, text: message.Message };
    if (message.Type === 'SubscriptionConfirmation') await this.#confirm(message.SubscribeURL, topicArn);
    return undefined;
  }

  /** Goes nowhere but to SNS, and confirms nothing but the topic. */
  async #confirm(url: string, topicArn: string): Promise<void> {
    const query = URL.parse(url)?.searchParams;
    if (
      !isSnsUrl(url) ||
      query?.get('Action') !== 'ConfirmSubscription' ||
      query.get('TopicArn') !== topicArn
    )
      throw forged('What is to be confirmed is not a subscription to the topic.');
    await this.#get(url);
  }
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** Over https, from public addresses alone. `connect`: for each origin; for tests. */
export const httpsSns =
  (connect: (options: HttpCallerOptions) => HttpCaller = (options) => new HttpCaller(options)): FetchSns =>
  async (text) => {
    const url = new URL(text);
    await using caller = connect({ baseUrl: url.origin, connections: 1, lookup: publicLookup() });
    const signal = AbortSignal.timeout(limits.snsFetchMs);
    const result = await caller.call({ method: 'GET', path: url.pathname + url.search, signal });
    if ('outcome' in result) throw new Error(`no answer: ${result.outcome.kind}`);
    const { status, whole, body } = result.answer;
    if (status !== 200 || !whole || body.length > limits.snsCertificateBytes)
      throw new Error(`an answer of status ${status} and ${body.length} bytes`);
    return body;
  };
