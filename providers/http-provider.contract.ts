// What every provider over HTTP keeps: its whole table of answers, and a definite outcome only where nothing can have arrived.
import { createServer } from 'node:net';
import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { ContentSchema } from '../gen/carillon/v1/notification_pb.ts';
import { ManualClock } from '../runtime/clock.manual.ts';
import type { Clock } from '../runtime/clock.ts';
import { addressText } from '../storage/addresses.ts';
import { selfSigned } from '../test/support/self-signed.ts';
import { type AnswerRow, outcomeOfRow, rowOf } from './answers.ts';
import { type FakeAnswer, type FakeServer, type Fault, startFakeServer } from './http-server.fixture.ts';
import { message } from './message.fixture.ts';
import { type ProviderHarness, providerContract } from './provider.contract.ts';
import type { Message, Outcome, Provider } from './provider.ts';

export interface HttpFake extends AsyncDisposable {
  readonly server: FakeServer;
  /** The attempt ids of what it has taken. */
  taken(): readonly string[];
  /** Of those, the ones that were taken back; absent: nothing can be. */
  cleared?(): readonly string[];
}

export interface HttpSuite {
  start(): Promise<HttpFake>;
  open(baseUrl: string, clock: Clock): Provider;
  address: Message['address'];
  foreign: Message['address'];
  /** Addresses that are none, and must not get as far as the service. */
  badAddresses: readonly Message['address'][];
  rows: readonly AnswerRow[];
  /** How the service says what the row is about. */
  answer(row: AnswerRow): FakeAnswer;
  /** Faults in the body of an answer of which the head is enough to say that the message was taken. */
  harmless?: readonly Fault[];
  /** The far end is one of many, and not the provider: that it is away defers the message, and says nothing of the provider. */
  oneOfMany?: true;
  /** What must not stand in any reason. */
  secrets: readonly string[];
  /** Sees each message and its outcome, for services that do not carry our id. */
  follow?(sent: Message, outcome: Outcome): void;
}

const calm = () => new AbortController().signal;
const statusOf = ({ status }: AnswerRow): number =>
  typeof status === 'number' ? status : Number(`${status?.[0] ?? '2'}18`);

/** One call of a fresh provider against the fake. */
async function sendTo(
  suite: HttpSuite,
  url: string,
  changes: Partial<Message> = {},
  signal = calm(),
): Promise<Outcome> {
  await using provider = suite.open(url, new ManualClock());
  const sent = message(suite.address, changes);
  const outcome = await provider.send(sent, { signal, attemptId: sent.attemptId });
  suite.follow?.(sent, outcome);
  const text = JSON.stringify(outcome);
  for (const secret of [...suite.secrets, addressText(sent.address), sent.content.body])
    expect(text).not.toContain(secret);
  return outcome;
}

function harnessOf(suite: HttpSuite): () => Promise<ProviderHarness> {
  return async () => {
    const fake = await suite.start();
    const opened = suite.open(fake.server.url, new ManualClock());
    const provider: Provider = {
      ...opened,
      async send(sent, options) {
        const outcome = await opened.send(sent, options);
        suite.follow?.(sent, outcome);
        return outcome;
      },
    };
    return {
      provider,
      address: suite.address,
      foreign: suite.foreign,
      taken: () => fake.taken(),
      clears: fake.cleared ? () => fake.cleared!() : false,
      provoke(kind) {
        if (kind === 'unknown') fake.server.fault = 'drop';
        else {
          const row = suite.rows.find((one) => outcomeOfRow(one, { status: 400 }).kind === kind);
          fake.server.forced = row ? suite.answer(row) : undefined;
          if (!row) return undefined;
        }
        return suite.address;
      },
      async [Symbol.asyncDispose]() {
        await provider[Symbol.asyncDispose]();
        await fake[Symbol.asyncDispose]();
      },
    };
  };
}

function answersContract(name: string, suite: HttpSuite): void {
  const named = suite.rows.map(
    (row) => [`${row.status ?? 'any'} ${row.code ?? ''} ${row.says}`, row] as const,
  );
  describe(`what ${name} answers`, () => {
    it.each(named)('%s', async (_name, row) => {
      await using fake = await suite.start();
      const answer = suite.answer(row);
      fake.server.forced = answer;
      const outcome = await sendTo(suite, fake.server.url);
      const said = { status: answer.status };
      const { kind, reason: _reason, ...rest } = outcomeOfRow(row, said) as Outcome & { reason: string };
      expect(outcome).toMatchObject({ kind, ...rest, reason: expect.stringContaining(row.says) });
      expect(row.source).toMatch(/\S/);
      expect(fake.server.requests).toHaveLength(1);
    });

    it.each([301, 400, 401, 403, 404, 418, 429, 500, 503, 504, 599])(
      'HTTP %i with a body that says nothing',
      async (status) => {
        await using fake = await suite.start();
        fake.server.forced = { status, body: 'no' };
        const row = rowOf(suite.rows, { status });
        expect((await sendTo(suite, fake.server.url)).kind).toBe(outcomeOfRow(row, { status }).kind);
      },
    );

    it('asks for patience in seconds or by a date, and is given it', async () => {
      await using fake = await suite.start();
      const nowMs = new ManualClock().now();
      const row = rowOf(suite.rows, { status: 429 });
      const { kind } = outcomeOfRow(row, { status: 429 });
      for (const after of ['7', new Date(nowMs + 7_000).toUTCString()]) {
        fake.server.forced = { status: 429, headers: { 'retry-after': after } };
        expect(await sendTo(suite, fake.server.url)).toMatchObject({ kind, retryAfterMs: 7_000 });
      }
      fake.server.forced = { status: 429, headers: { 'retry-after': 'soon' } };
      const { reason: _reason, ...unsaid } = outcomeOfRow(row, { status: 429 }) as Outcome & {
        reason: string;
      };
      expect(await sendTo(suite, fake.server.url)).toMatchObject(unsaid);
    });
  });
}

const faults: readonly Fault[] = ['drop', 'cut', 'garbage', 'huge'];

function faultsContract(name: string, suite: HttpSuite): void {
  describe(`when ${name} fails in the middle`, () => {
    it.each(faults)('%s: it may have been taken, so nobody knows', async (fault) => {
      await using fake = await suite.start();
      fake.server.fault = fault;
      const enough = suite.harmless?.includes(fault) === true;
      expect((await sendTo(suite, fake.server.url)).kind).toBe(enough ? 'sent' : 'unknown');
      expect(fake.server.requests).toHaveLength(1);
    });

    it('hangs: nobody knows, and our own patience ends it', async () => {
      await using fake = await suite.start();
      fake.server.fault = 'hang';
      const patience = new AbortController();
      fake.server.onRequest = () => patience.abort();
      expect((await sendTo(suite, fake.server.url, {}, patience.signal)).kind).toBe('unknown');
    });

    it('is slow: its answer counts all the same', async () => {
      await using fake = await suite.start();
      const gate = Promise.withResolvers<void>();
      fake.server.gate = gate.promise;
      fake.server.onRequest = () => gate.resolve();
      expect((await sendTo(suite, fake.server.url)).kind).toBe('sent');
    });

    it('answers an error at length: its status is enough', async () => {
      await using fake = await suite.start();
      fake.server.forced = { status: 503 };
      fake.server.fault = 'huge';
      const row = rowOf(suite.rows, { status: 503 });
      expect((await sendTo(suite, fake.server.url)).kind).toBe(outcomeOfRow(row, { status: 503 }).kind);
    });
  });
}

function connectionContract(name: string, suite: HttpSuite): void {
  const away = suite.oneOfMany ? 'transient' : 'down';
  describe(`when ${name} cannot be reached`, () => {
    it('because nobody listens: it is down', async () => {
      const fake = await suite.start();
      await fake[Symbol.asyncDispose]();
      expect((await sendTo(suite, fake.server.url)).kind).toBe(away);
    });

    it('because the connection is reset before anything is written: it is down', async () => {
      const server = createServer((socket) => socket.resetAndDestroy());
      await new Promise<void>((resolve) => {
        server.listen(0, '127.0.0.1', resolve);
      });
      const { port } = server.address() as { port: number };
      expect((await sendTo(suite, `https://127.0.0.1:${port}`)).kind).toBe(away);
      server.close();
    });

    it('because nobody vouches for its certificate: an operator must act, and nothing is told to it', async () => {
      await using server = await startFakeServer(() => ({ status: 200 }), selfSigned());
      expect((await sendTo(suite, server.url)).kind).toBe(suite.oneOfMany ? away : 'config');
      expect(server.requests).toHaveLength(0);
    });
  });
}

function hostileContract(name: string, suite: HttpSuite): void {
  describe(`${name} and what people write`, () => {
    it.each([
      'Hello\r\nBcc: eve@evil.example\r\n\r\n.\r\n',
      '"}],"to":"eve"}&To=%2B15550000000',
      "\u0000\u0007\u001b[31m' OR 1=1 --",
      'Grüezi 👋🏽 \u202edlrow',
    ])('%j stays a text', async (text) => {
      await using fake = await suite.start();
      const content = create(ContentSchema, { title: text, body: text });
      expect((await sendTo(suite, fake.server.url, { content })).kind).toBe('sent');
      expect(fake.server.requests).toHaveLength(1);
    });

    it.each(suite.badAddresses.map((address) => [JSON.stringify(addressText(address)), address] as const))(
      '%s is no address, and nobody is asked',
      async (_name, address) => {
        await using fake = await suite.start();
        await using provider = suite.open(fake.server.url, new ManualClock());
        const sent = message(address);
        const outcome = await provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
        expect(outcome).toMatchObject({ kind: 'permanent', address: 'invalid' });
        expect(fake.server.requests).toHaveLength(0);
      },
    );
  });
}

/** The whole suite: the port's own contract, every row of the table, every fault. */
export function httpProviderContract(name: string, suite: HttpSuite): void {
  providerContract(name, harnessOf(suite));
  answersContract(name, suite);
  faultsContract(name, suite);
  connectionContract(name, suite);
  hostileContract(name, suite);
}

/** The answer of a row for services that say nothing but a status. */
export const plainAnswer = (row: AnswerRow): FakeAnswer => ({ status: statusOf(row) });
