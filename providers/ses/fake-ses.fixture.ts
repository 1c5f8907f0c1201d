// Behaves like Amazon SES v2: verifies Signature Version 4 by the headers that it names, keeps what it takes.
import { createHash, createHmac } from 'node:crypto';
import { z } from 'zod';
import { systemIds } from '../../runtime/ids.ts';
import {
  type FakeAnswer,
  type FakeRequest,
  type FakeServer,
  startFakeServer,
} from '../http-server.fixture.ts';

export const sesAccount = {
  region: 'eu-west-1',
  accessKeyId: 'AKIDOFTESTS',
  secretAccessKey: 'ses/secret+of/tests',
  from: 'Carillon <news@mesh.example>',
} as const;

const content = z.strictObject({ Data: z.string(), Charset: z.string().optional() });
/** https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html. */
const mailSchema = z.strictObject({
  FromEmailAddress: z.string().regex(/^[\x20-\x7e]+$/),
  Destination: z.strictObject({ ToAddresses: z.array(z.string()).min(1) }),
  Content: z.strictObject({
    Simple: z.strictObject({
      Subject: content,
      Body: z.strictObject({ Text: content.optional(), Html: content.optional() }),
      Headers: z
        .array(
          z.strictObject({
            Name: z.string().regex(/^[!-9;-@A-~]{1,126}$/),
            Value: z.string().regex(/^[ -~]{1,870}$/),
          }),
        )
        .max(15)
        .optional(),
    }),
  }),
  EmailTags: z
    .array(
      z.strictObject({
        Name: z.string().regex(/^[\w-]{1,256}$/),
        Value: z.string().regex(/^[\w.@-]{1,256}$/),
      }),
    )
    .optional(),
  ConfigurationSetName: z.string().optional(),
});

export type SesMail = z.infer<typeof mailSchema> & { id: string };

export interface FakeSes extends AsyncDisposable {
  readonly server: FakeServer;
  readonly mails: readonly SesMail[];
  taken(): readonly string[];
}

/** As SES says that it refuses. */
export const sesRefusal = (
  status: number,
  type: string,
  message = 'ada@example.org was refused',
): FakeAnswer => ({
  status,
  headers: { 'x-amzn-errortype': `${type}:http://internal.amazon.com/coral/com.amazonaws.ses/` },
  body: { message },
});

const hash = (data: string | Buffer) => createHash('sha256').update(data).digest('hex');
const hmac = (key: string | Buffer, data: string) => createHmac('sha256', key).update(data).digest();

/** What is wrong with the signature of a request; undefined: nothing. Follows the request, not the code that made it. */
export function wrongSignature({ method, url, headers, body }: FakeRequest): string | undefined {
  const found =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([\w-]+)\/(\w+)\/aws4_request, ?SignedHeaders=([\w;-]+), ?Signature=([0-9a-f]{64})$/.exec(
      headers.authorization ?? '',
    );
  if (!found) return 'IncompleteSignature';
  const [, keyId, day = '', region = '', service = '', names = '', signature] = found;
  const time = headers['x-amz-date'] ?? '';
  if (keyId !== sesAccount.accessKeyId) return 'UnrecognizedClientException';
  if (!time.startsWith(day) || region !== sesAccount.region || service !== 'ses')
    return 'InvalidSignatureException';
  if (!names.split(';').includes('host') || !names.split(';').includes('x-amz-date'))
    return 'IncompleteSignature';
  const [path = '', query = ''] = url.split('?');
  const canonical = [
    method,
    path.split('/').map(encodeURIComponent).join('/'),
    query.split('&').sort().join('&'),
    ...names.split(';').map((name) => `${name}:${(headers[name] ?? '').trim().replace(/ +/g, ' ')}`),
    '',
    names,
    hash(body),
  ].join('\n');
  const scope = `${day}/${region}/${service}/aws4_request`;
  const toSign = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${hash(canonical)}`;
  const key = hmac(
    hmac(hmac(hmac(`AWS4${sesAccount.secretAccessKey}`, day), region), service),
    'aws4_request',
  );
  return hmac(key, toSign).toString('hex') === signature ? undefined : 'SignatureDoesNotMatch';
}

export async function startFakeSes(): Promise<FakeSes> {
  const mails: SesMail[] = [];
  const server = await startFakeServer((request) => {
    const wrong = wrongSignature(request);
    if (wrong !== undefined) return sesRefusal(403, wrong);
    const { method, url, body } = request;
    if (method !== 'POST' || url !== '/v2/email/outbound-emails')
      return sesRefusal(404, 'UnknownOperationException');
    const mail = mailSchema.safeParse(JSON.parse(body.toString('utf8')));
    if (!mail.success) return sesRefusal(400, 'BadRequestException', mail.error.issues[0]?.path.join('.'));
    const id = `0102018${systemIds.uuid()}-000000`;
    mails.push({ ...mail.data, id });
    return { status: 200, body: { MessageId: id } };
  });
  return {
    server,
    mails,
    taken: () =>
      mails.map(({ EmailTags }) => EmailTags?.find(({ Name }) => Name === 'carillon-attempt')?.Value ?? ''),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
