// Mail over Amazon SES v2: a signed post for each mail, with our id in its tags, which every event brings back.
import { z } from 'zod';
import { Channel } from '../../gen/carillon/v1/notification_pb.ts';
import { outcomeOf } from '../answers.ts';
import { type HttpAnswer, HttpCaller, jsonOf, retryAfterMs } from '../http-call.ts';
import type { ProviderKind } from '../kind.ts';
import { isMailAddress, type Mail, mailOf, type Sender } from '../mail.ts';
import type { Message, Outcome, Provider } from '../provider.ts';
import { parseSender } from '../settings.ts';
import { sesAnswers, sesSentences } from './ses-errors.ts';
import { ATTEMPT_TAG, readSesReceipts } from './ses-receipts.ts';
import { type SesSettings, sesSettings } from './ses-settings.ts';
import { signAws } from './sigv4.ts';
import { httpsSns, SnsReader } from './sns.ts';

const PATH = '/v2/email/outbound-emails';

const taken = z.object({ MessageId: z.string().regex(/^[\w-]{1,128}$/) });
const refused = z.object({ message: z.string() }).or(z.object({ Message: z.string() }));

/** `MessageRejected` of `MessageRejected:http://…` or `com.amazonaws.sesv2#MessageRejected`, and the word that its sentence adds. */
function codeOf(answer: HttpAnswer, said: unknown): string | undefined {
  const inBody = z.object({ __type: z.string() }).safeParse(said);
  const written = answer.headers['x-amzn-errortype'] ?? (inBody.success ? inBody.data.__type : undefined);
  const type = written?.split(':')[0]?.split('#').at(-1)?.trim();
  const refusal = refused.safeParse(said);
  const sentence = refusal.success ? (Object.values(refusal.data)[0] ?? '') : '';
  const found = sesSentences.find((one) => one.type === type && one.says.test(sentence));
  return found ? `${type}.${found.word}` : type;
}

function outcomeOfAnswer(answer: HttpAnswer, nowMs: number): Outcome {
  const said = jsonOf(answer);
  const { status, headers } = answer;
  const message = taken.safeParse(said);
  if (status === 200 && message.success) return { kind: 'sent', messageId: message.data.MessageId };
  return outcomeOf(sesAnswers, {
    status,
    code: codeOf(answer, said),
    retryAfterMs: retryAfterMs(headers, nowMs),
  });
}

/** As it stands in a header: names that are not ASCII as encoded words (RFC 2047), others quoted. */
function party({ name, address }: Sender): string {
  if (name === '') return address;
  if (/^[\x20-\x7e]*$/.test(name)) return `"${name.replaceAll(/["\\]/g, '')}" <${address}>`;
  // An encoded word holds 75 characters: 45 bytes of text, cut between characters.
  const words: string[] = [];
  let word = '';
  for (const sign of name) {
    if (Buffer.byteLength(word + sign) > 42) {
      words.push(word);
      word = '';
    }
    word += sign;
  }
  const encoded = [...words, word].map((text) => `=?UTF-8?B?${Buffer.from(text).toString('base64')}?=`);
  return `${encoded.join(' ')} <${address}>`;
}

const utf8 = (text: string) => ({ Data: text, Charset: 'UTF-8' });

function bodyOf(mail: Mail, { attemptId }: Message, configurationSet: string | undefined): string {
  return JSON.stringify({
    FromEmailAddress: party(mail.from),
    Destination: { ToAddresses: [mail.to.address] },
    Content: {
      Simple: {
        Subject: utf8(mail.subject),
        Body: { Text: utf8(mail.text), Html: utf8(mail.html) },
        Headers: Object.entries(mail.headers).map(([Name, Value]) => ({ Name, Value })),
      },
    },
    EmailTags: [{ Name: ATTEMPT_TAG, Value: attemptId }],
    ...(configurationSet !== undefined && { ConfigurationSetName: configurationSet }),
  });
}

function open({ name, settings, clock }: Parameters<ProviderKind<SesSettings>['open']>[0]): Provider {
  const { region, baseUrl, configurationSet } = settings;
  const caller = new HttpCaller({ baseUrl });
  const sender = parseSender(settings.from)!;
  const url = baseUrl.replace(/\/$/, '') + PATH;
  return {
    name,
    channel: Channel.EMAIL,
    serves: ({ kind }) => kind === 'email',
    async send(message, { signal }): Promise<Outcome> {
      const { address } = message;
      if (address.kind !== 'email' || !isMailAddress(address.email))
        return { kind: 'permanent', reason: 'this is not a mail address', address: 'invalid' };
      const body = bodyOf(mailOf(message, address.email, sender), message, configurationSet);
      const type = { 'content-type': 'application/json' };
      const toSign = { method: 'POST', url, headers: type, body, region, service: 'ses' };
      const headers = { ...type, ...signAws(toSign, settings, clock.now()) };
      const result = await caller.call({ path: PATH, headers, body, signal });
      return 'outcome' in result ? result.outcome : outcomeOfAnswer(result.answer, clock.now());
    },
    [Symbol.asyncDispose]: () => caller[Symbol.asyncDispose](),
  };
}

/** `sns`: reads what SNS calls with, and keeps its certificates. */
export const sesKindWith = (sns: SnsReader): ProviderKind<SesSettings> => ({
  kind: 'ses',
  channel: Channel.EMAIL,
  settings: sesSettings,
  environment: {
    region: 'AWS_REGION',
    accessKeyId: 'AWS_ACCESS_KEY_ID',
    secretAccessKey: 'AWS_SECRET_ACCESS_KEY',
    sessionToken: 'AWS_SESSION_TOKEN',
    from: 'SES_FROM',
    configurationSet: 'SES_CONFIGURATION_SET',
    topicArn: 'SES_TOPIC_ARN',
    baseUrl: 'SES_BASE_URL',
  },
  secrets: ['secretAccessKey', 'sessionToken'],
  open,
  readReceipts: (request, settings, nowMs) => readSesReceipts(sns, request, settings, nowMs),
});

export const sesKind = sesKindWith(new SnsReader(httpsSns()));
