// What every reader of receipts keeps: only its provider is believed, the same call says the same, and nothing else gets through.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import type { Receipt, ReceiptRequest } from './kind.ts';

export interface ReceiptsSuite {
  read(request: ReceiptRequest, nowMs: number): Receipt[] | Promise<Receipt[]>;
  nowMs: number;
  /** A body that the provider would send, and what is to be read from it. */
  body: Buffer;
  expected: readonly Partial<Receipt>[];
  /** The provider's call of a body, signed as of `atMs`, by another's secret when asked for. */
  sign(body: Buffer, options: { atMs: number; forged?: boolean }): ReceiptRequest;
  /** The header that bears the signature; undefined: it stands in the body or the URL. */
  signatureHeader: string | undefined;
  /** How old a call may be; undefined: its signature has no time in it. */
  windowMs: number | undefined;
}

/** What is known of a call that must not be believed. */
async function refusal(suite: ReceiptsSuite, request: ReceiptRequest, nowMs = suite.nowMs): Promise<string> {
  try {
    await suite.read(request, nowMs);
  } catch (error) {
    if (error instanceof CarillonError) return error.reason;
    throw error;
  }
  return 'believed';
}

function forgeries(suite: ReceiptsSuite): [string, ReceiptRequest][] {
  const { body, nowMs, signatureHeader } = suite;
  const genuine = suite.sign(body, { atMs: nowMs });
  const flipped = (at: number) => {
    const changed = Buffer.from(genuine.body);
    changed[at] = (changed[at] ?? 0) ^ 1;
    return { ...genuine, body: changed };
  };
  const withHeader = (value: string | undefined) => ({
    ...genuine,
    headers: { ...genuine.headers, [signatureHeader ?? '']: value },
  });
  const signature = genuine.headers[signatureHeader ?? ''] ?? '';
  const cases: [string, ReceiptRequest][] = [
    ['signed by somebody else', suite.sign(body, { atMs: nowMs, forged: true })],
    ['with a first byte changed', flipped(0)],
    ['with a byte in the middle changed', flipped(Math.floor(genuine.body.length / 2))],
    ['with a byte more', { ...genuine, body: Buffer.concat([genuine.body, Buffer.from('x')]) }],
    ['with a byte less', { ...genuine, body: genuine.body.subarray(0, -1) }],
    ['with an empty body', { ...genuine, body: Buffer.alloc(0) }],
  ];
  if (signatureHeader === undefined) return cases;
  return [
    ...cases,
    ['without any header', { ...genuine, headers: {}, url: genuine.url.split('?')[0] ?? '' }],
    ['without a signature', withHeader(undefined)],
    ['with an empty signature', withHeader('')],
    ['with a signature that is none', withHeader('AAAA')],
    ['with a signature that is cut', withHeader(signature.slice(0, -4))],
    ['with a signature twice as long', withHeader(signature + signature)],
    ['with a signature of strange signs', withHeader('é\u0000=%%%')],
  ];
}

const strange = [
  '',
  ' ',
  'null',
  '[]',
  '{}',
  '{',
  '"x"',
  '0',
  '[null]',
  '[[]]',
  '[{}]',
  '{"a":{"b":[1,{"c":null}]}}',
  '\u0000',
  'a=b&c',
];

/** The whole suite. */
export function receiptsContract(name: string, suite: ReceiptsSuite): void {
  const { nowMs, body } = suite;
  const genuine = () => suite.sign(body, { atMs: nowMs });

  describe(`receipts of ${name}`, () => {
    it('are read when they are genuine', async () => {
      const receipts = await suite.read(genuine(), nowMs);
      expect(receipts).toMatchObject(suite.expected);
      for (const { eventId, atMs } of receipts) {
        expect(eventId).toMatch(/^\S{1,200}$/);
        expect(Number.isFinite(atMs)).toBe(true);
      }
      expect(new Set(receipts.map(({ eventId }) => eventId)).size).toBe(receipts.length);
    });

    it('say the same, under the same ids, when they come twice', async () => {
      expect(await suite.read(genuine(), nowMs)).toEqual(await suite.read(genuine(), nowMs));
    });

    it.each(forgeries(suite))('%s are not believed', async (_name, request) => {
      expect(await refusal(suite, request)).toBe('RECEIPT_FORGED');
    });

    it('are not believed when they are too old, or from the future', async () => {
      const { windowMs } = suite;
      if (windowMs === undefined) return;
      for (const atMs of [nowMs - windowMs - 1_000, nowMs + limits.receiptSkewMs + 1_000]) {
        expect(await refusal(suite, suite.sign(body, { atMs }))).toBe('RECEIPT_FORGED');
      }
      expect(await refusal(suite, suite.sign(body, { atMs: nowMs - windowMs + 1_000 }))).toBe('believed');
    });

    it.each(strange)('of %j, signed as it should be, are refused or say nothing', async (text) => {
      expect(['INVALID_REQUEST', 'believed']).toContain(
        await refusal(suite, suite.sign(Buffer.from(text), { atMs: nowMs })),
      );
    });

    it('of anything at all, signed as it should be, are refused or say nothing', async () => {
      await fc.assert(
        fc.asyncProperty(fc.oneof(fc.json(), fc.string(), fc.base64String()), async (text) => {
          const said = await refusal(suite, suite.sign(Buffer.from(text), { atMs: nowMs }));
          expect(['INVALID_REQUEST', 'believed']).toContain(said);
        }),
        { numRuns: 50 },
      );
    });

    it('of megabytes are refused', async () => {
      const big = Buffer.from(JSON.stringify(Array.from({ length: 200_000 }, () => ({}))));
      expect(await refusal(suite, suite.sign(big, { atMs: nowMs }))).toBe('INVALID_REQUEST');
    });
  });
}
