// Vonage's calls back: signatures by the vectors of its own SDKs, in every form that an account may choose.
import { describe, expect, it } from 'vitest';
import { limits } from '../../runtime/limits.ts';
import type { ReceiptRequest } from '../kind.ts';
import { receiptsContract } from '../receipts.contract.ts';
import { vonageSecret } from './fake-vonage.fixture.ts';
import { readVonageReceipts } from './vonage-receipts.ts';
import { isVonageCall, type VonageMethod, vonageMethods, vonageSignature } from './vonage-signature.ts';

const attemptId = '019a9f7e-0000-7000-8000-000000000001';
const nowMs = 1_800_000_000_000;
const url = 'https://hooks.mesh.example/receipts/vonage';
const settings = { signatureSecret: vonageSecret, signatureMethod: 'sha256' } as const;
const delivered = {
  msisdn: '15005550009',
  to: 'Carillon',
  'network-code': '12345',
  messageId: '0A0000001234567B',
  price: '0.03330000',
  status: 'delivered',
  scts: '2001011400',
  'err-code': '0',
  'client-ref': attemptId,
  'message-timestamp': '2027-01-15 08:00:00',
};

type Parameters = Record<string, string>;

/** The parameters with their time and signature. */
function signed(
  parameters: Parameters,
  atMs: number,
  forged = false,
  method: VonageMethod = 'sha256',
): Parameters {
  const timed = { ...parameters, timestamp: String(Math.floor(atMs / 1000)), nonce: 'aaaaaaaa-bbbb' };
  return { ...timed, sig: vonageSignature(timed, forged ? 'another' : vonageSecret, method) };
}

const asForm = (parameters: Parameters): ReceiptRequest => ({
  url,
  headers: { 'content-type': 'application/x-www-form-urlencoded' },
  body: Buffer.from(new URLSearchParams(parameters).toString()),
});
const asJson = (parameters: Parameters): ReceiptRequest => ({
  url,
  headers: { 'content-type': 'application/json' },
  body: Buffer.from(JSON.stringify(parameters)),
});
const asQuery = (parameters: Parameters): ReceiptRequest => ({
  url: `${url}?${new URLSearchParams(parameters)}`,
  headers: {},
  body: Buffer.alloc(0),
});

receiptsContract('Vonage, as a form', {
  read: (request, at) => readVonageReceipts(request, settings, at),
  nowMs,
  body: Buffer.from(new URLSearchParams(delivered).toString()),
  expected: [
    { kind: 'delivered', attemptId, messageId: delivered.messageId, address: '+15005550009', atMs: nowMs },
  ],
  sign: (body, { atMs, forged }) =>
    asForm(signed(Object.fromEntries(new URLSearchParams(body.toString())), atMs, forged)),
  signatureHeader: undefined,
  windowMs: limits.vonageWindowMs,
});

describe("the signatures of Vonage's own SDK", () => {
  const parameters = { a: '1', b: '2', timestamp: '1461605396' };
  // The vectors of vonage-python-sdk's tests.
  it.each([
    ['md5hash', '6af838ef94998832dbfc29020b564830'],
    ['md5', 'c15c21ced558c93a226c305f58f902f2'],
    ['sha1', '3e19a4e6880fdc2c1426bfd0587c98b9532f0210'],
    ['sha256', 'a321e824b9b816be7c3f28859a31749a098713d39f613c80d455bbaffae1cd24'],
    [
      'sha512',
      '812a18f76680fa0fe1b8bd9ee1625466ceb1bd96242e4d050d2cfd9a7b40166c63ed26ec9702168781b6edcf1633db8ff95af9341701004eec3fcf9550572ee8',
    ],
  ] as const)('by %s are ours', (method, sig) => {
    expect(vonageSignature(parameters, 'secret', method)).toBe(sig);
    for (const written of [sig, sig.toUpperCase()])
      expect(isVonageCall({ ...parameters, sig: written }, 'secret', method)).toBe(true);
    for (const other of vonageMethods)
      expect(isVonageCall({ ...parameters, sig }, 'secret', other)).toBe(other === method);
    expect(isVonageCall({ ...parameters, b: '3', sig }, 'secret', method)).toBe(false);
  });

  it('are not believed over names that could divide parameters', () => {
    const sig = vonageSignature({ a: '1', b: '2' }, 'secret', 'sha256');
    expect(vonageSignature({ 'a=1&b': '2' }, 'secret', 'sha256')).toBe(sig);
    expect(isVonageCall({ 'a=1&b': '2', sig }, 'secret', 'sha256')).toBe(false);
  });

  it('keep the signs that divide parameters apart', () => {
    expect(vonageSignature({ a: '1&b=2' }, 'secret', 'sha256')).toBe(
      vonageSignature({ a: '1_b_2' }, 'secret', 'sha256'),
    );
    expect(vonageSignature({ a: '1&b=2' }, 'secret', 'sha256')).not.toBe(
      vonageSignature({ a: '1', b: '2' }, 'secret', 'sha256'),
    );
  });
});

describe('what Vonage says of a message', () => {
  it.each([
    ['form', asForm],
    ['JSON', asJson],
    ['query', asQuery],
  ])('is read from a %s', (_name, put) => {
    for (const method of vonageMethods) {
      const request = put(signed(delivered, nowMs, false, method));
      const its = { signatureSecret: vonageSecret, signatureMethod: method };
      expect(readVonageReceipts(request, its, nowMs)).toMatchObject([{ kind: 'delivered', attemptId }]);
    }
    expect(() => readVonageReceipts(put(signed(delivered, nowMs, true)), settings, nowMs)).toThrow(
      /signature/,
    );
  });

  it.each([
    ['accepted', '0', undefined, false],
    ['buffered', '0', undefined, false],
    ['unknown', '0', undefined, false],
    ['delivered', '0', 'delivered', false],
    ['expired', '1', 'failed', false],
    ['failed', '2', 'failed', false],
    ['failed', '3', 'failed', true],
    ['rejected', '9', 'failed', true],
    ['failed', '99', 'failed', false],
    ['failed', '', 'failed', false],
    ['constructor', '', undefined, false],
  ])('%s %s', (status, code, kind, permanent) => {
    const request = asForm(signed({ ...delivered, status, 'err-code': code }, nowMs));
    const receipts = readVonageReceipts(request, settings, nowMs);
    expect(receipts).toMatchObject(kind === undefined ? [] : [{ kind, permanent, attemptId }]);
  });

  it('is what people answer, such as STOP', () => {
    const inbound = {
      msisdn: '15005550009',
      to: '15005550006',
      messageId: '0B',
      text: 'STOP',
      type: 'text',
      keyword: 'STOP',
    };
    expect(readVonageReceipts(asQuery(signed(inbound, nowMs)), settings, nowMs)).toMatchObject([
      { kind: 'inbound', address: '+15005550009', reason: 'STOP', eventId: '0B' },
    ]);
  });

  it('is not believed while no secret is set, nor when it bears no time', () => {
    const request = asForm(signed(delivered, nowMs));
    expect(() => readVonageReceipts(request, {}, nowMs)).toThrow(/no secret/);
    const timeless = { ...delivered, sig: vonageSignature(delivered, vonageSecret, 'sha256') };
    expect(() => readVonageReceipts(asForm(timeless), settings, nowMs)).toThrow(/window/);
  });
});
