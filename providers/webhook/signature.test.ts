// Signatures of Standard Webhooks: by the vector of the specification's own libraries, with secrets being replaced.
import { describe, expect, it } from 'vitest';
import { CarillonError } from '../../runtime/errors.ts';
import { isWebhookSecret, signWebhook, verifyWebhook } from './signature.ts';

// The vector of the reference libraries: https://github.com/standard-webhooks/standard-webhooks/tree/main/libraries.
const vector = {
  secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
  atMs: 1_614_265_330_000,
  body: Buffer.from('{"test": 2432232314}'),
  signature: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
};
const other = `whsec_${Buffer.alloc(32, 'x').toString('base64')}`;

const headers = (changes: Record<string, string | undefined> = {}) => ({
  'webhook-id': vector.id,
  'webhook-timestamp': '1614265330',
  'webhook-signature': vector.signature,
  ...changes,
});
const verify = (
  changes: Record<string, string | undefined> = {},
  secrets = [vector.secret],
  nowMs = vector.atMs,
) => verifyWebhook(headers(changes), vector.body, secrets, nowMs);

describe('a signature', () => {
  it('is the one of the reference libraries', () => {
    expect(signWebhook(vector.id, vector.atMs, vector.body, [vector.secret])).toEqual(headers());
    expect(verify()).toBe(vector.id);
  });

  it('stands beside that of another secret while one is replaced', () => {
    const signed = signWebhook(vector.id, vector.atMs, vector.body, [other, vector.secret]);
    expect(signed['webhook-signature']).toMatch(/^v1,\S+ v1,g0hM/);
    for (const known of [[other], [vector.secret], [other, vector.secret]])
      expect(verifyWebhook({ ...signed }, vector.body, known, vector.atMs)).toBe(vector.id);
  });

  it('of another version is looked past', () => {
    expect(verify({ 'webhook-signature': `v1a,AAAA ${vector.signature}` })).toBe(vector.id);
    expect(() => verify({ 'webhook-signature': vector.signature.replace('v1,', 'v2,') })).toThrow(
      CarillonError,
    );
  });

  it('hidden behind more signatures than there are secrets is not looked for', () => {
    const many = `${'v1,AAAA '.repeat(1_000)}${vector.signature}`;
    expect(() => verify({ 'webhook-signature': many })).toThrow(/signature/);
  });

  it.each([
    ['another body', () => verifyWebhook(headers(), Buffer.from('{}'), [vector.secret], vector.atMs)],
    ['another id', () => verify({ 'webhook-id': 'msg_2' })],
    ['another time', () => verify({ 'webhook-timestamp': '1614265331' })],
    ['another secret', () => verify({}, [other])],
    ['no secret', () => verify({}, [])],
    ['no id', () => verify({ 'webhook-id': undefined })],
    ['an id with a dot', () => verify({ 'webhook-id': 'msg.1' })],
    ['a time that is none', () => verify({ 'webhook-timestamp': '1e9' })],
    ['five minutes and more ago', () => verify({}, undefined, vector.atMs + 301_000)],
    ['five minutes and more ahead', () => verify({}, undefined, vector.atMs - 301_000)],
  ])('with %s is not believed', (_name, call) => {
    expect(call).toThrow(expect.objectContaining({ reason: 'RECEIPT_FORGED' }));
  });
});

it.each([
  ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', true],
  [other, true],
  ['MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', false],
  ['whsec_c2hvcnQ=', false],
  [`whsec_${Buffer.alloc(65).toString('base64')}`, false],
  ['whsec_ not base64 at all, but long enough for one', false],
])('%s is a secret: %s', (text, expected) => {
  expect(isWebhookSecret(text)).toBe(expected);
});
