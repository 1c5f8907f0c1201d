// Signs messages as Amazon SNS does, with a certificate that stands where Amazon's would.
import { sign } from 'node:crypto';
import { systemIds } from '../../runtime/ids.ts';
import { selfSigned } from '../../test/support/self-signed.ts';
import type { ReceiptRequest } from '../kind.ts';

export const topicArn = 'arn:aws:sns:eu-west-1:123456789012:mesh';
export const certificateUrl =
  'https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem';

const keys = selfSigned('rsa');
const otherKeys = selfSigned('rsa');

/** PEM; what is at `certificateUrl`. */
export const snsCertificate = keys.cert;

export interface SnsOptions {
  atMs: number;
  version?: '1' | '2';
  /** Signed by another key. */
  forged?: boolean;
  /** In place of what SNS would say; signed with the rest. */
  changes?: Record<string, string | undefined>;
  type?: 'Notification' | 'SubscriptionConfirmation' | 'UnsubscribeConfirmation';
}

/** https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html. */
export function snsMessage(
  text: string,
  { atMs, version = '2', forged = false, changes = {}, type = 'Notification' }: SnsOptions,
): Record<string, string> {
  const token = 'token-of-tests';
  const control = {
    Token: token,
    SubscribeURL: `https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=${topicArn}&Token=${token}`,
  };
  const said: Record<string, string | undefined> = {
    Type: type,
    MessageId: '22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324',
    ...(type !== 'Notification' && control),
    TopicArn: topicArn,
    Message: text,
    Timestamp: new Date(atMs).toISOString(),
    SignatureVersion: version,
    SigningCertURL: certificateUrl,
    ...changes,
  };
  const names =
    type === 'Notification'
      ? ['Message', 'MessageId', 'Subject', 'Timestamp', 'TopicArn', 'Type']
      : ['Message', 'MessageId', 'SubscribeURL', 'Timestamp', 'Token', 'TopicArn', 'Type'];
  const signed = names
    .filter((name) => said[name] !== undefined)
    .map((name) => `${name}\n${said[name]}\n`)
    .join('');
  const algorithm = version === '1' ? 'RSA-SHA1' : 'RSA-SHA256';
  const signature = sign(algorithm, Buffer.from(signed), (forged ? otherKeys : keys).key).toString('base64');
  const message = { ...said, Signature: signature };
  return JSON.parse(JSON.stringify(message));
}

/** The call that brings it. */
export const snsCall = (message: Record<string, string>): ReceiptRequest => ({
  url: 'https://hooks.mesh.example/receipts/ses',
  headers: { 'content-type': 'text/plain; charset=UTF-8', 'x-amz-sns-message-id': systemIds.uuid() },
  body: Buffer.from(JSON.stringify(message)),
});

export const attemptId = '019a9f7e-0000-7000-8000-000000000001';

/** An event of SES, as SNS brings it in its message. */
export const sesEvent = (type: string, detail: Record<string, unknown> = {}): string =>
  JSON.stringify({
    eventType: type,
    mail: {
      timestamp: '2027-01-15T07:59:00.000Z',
      source: 'Carillon <news@mesh.example>',
      messageId: '010201-mail-000000',
      destination: ['ada@example.org'],
      headersTruncated: false,
      tags: { 'ses:operation': ['SendEmail'], 'carillon-attempt': [attemptId] },
    },
    ...detail,
  });
