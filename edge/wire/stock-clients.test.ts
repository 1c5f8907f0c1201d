// What a stock client sees of Subscribe: everything in order over every protocol, whatever breaks on the way, and why it ended.
import { Code, ConnectError } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { carillonError } from '../../runtime/wire-errors.ts';
import { type NumberedFeed, numberedFeed } from './numbered-feed.fixture.ts';
import { connectClients, type EdgeClient, stockClients } from './stock-clients.fixture.ts';

const COUNT = 10_000;

let feed: NumberedFeed;
beforeAll(async () => {
  feed = await numberedFeed(COUNT);
});
afterAll(() => feed[Symbol.asyncDispose]());

/** Rises and falls without a pattern that the server's pace could share. */
function* lengths(seed: number): Generator<number> {
  for (let state = seed; ; ) {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    yield 200 + (state % 1_500);
  }
}

/** Reads all numbers; every connection breaks after a while, by the server's hand and by the client's in turns. */
async function readBroken(
  client: Pick<EdgeClient, 'subscribe'>,
): Promise<{ seqs: number[]; breaks: number }> {
  const seqs: number[] = [];
  let breaks = 0;
  for (const length of lengths(COUNT)) {
    const leave = new AbortController();
    const ownBreak = breaks % 2 === 0;
    const request = {
      cursor: String(seqs.length),
      deviceId: ownBreak ? 'numbers' : `numbers:${length}`,
    };
    try {
      let read = 0;
      for await (const { frame } of client.subscribe(request, { signal: leave.signal })) {
        if (frame.case === 'deliver') seqs.push(frame.value.seq);
        read += 1;
        if (ownBreak && read === length) leave.abort();
      }
      if (!leave.signal.aborted) return { seqs, breaks };
    } catch (error) {
      if (!(error instanceof ConnectError)) throw error;
    }
    breaks += 1;
    if (breaks > COUNT / 200) return { seqs, breaks };
  }
  return { seqs, breaks };
}

describe.each(stockClients)('$name', ({ connect }) => {
  test('gets ten thousand messages in order over connections that break', { timeout: 60_000 }, async () => {
    const { seqs, breaks } = await readBroken(connect(feed.address));
    expect(breaks).toBeGreaterThan(3);
    expect(seqs.length).toBe(COUNT);
    expect(seqs.findIndex((seq, index) => seq !== index + 1)).toBe(-1);
  });

  test.each(['error', 'throw'])('is told why it ended: %s', async (deviceId) => {
    const client = connect(feed.address);
    const reading = (async () => {
      for await (const _ of client.subscribe({ deviceId }));
    })();
    const error = ConnectError.from(
      await reading.then(
        () => undefined,
        (reason: unknown) => reason,
      ),
    );
    const expected = deviceId === 'error' ? [Code.OutOfRange, 1_500] : [Code.ResourceExhausted, 250];
    expect([error.code, carillonError(withDetails(error)).retryAfterMs]).toEqual(expected);
  });

  test('that cancels is known to have left on purpose', async () => {
    const leave = new AbortController();
    const index = feed.opened.length;
    const reading = (async () => {
      for await (const _ of connect(feed.address).subscribe(
        { deviceId: 'silent' },
        { signal: leave.signal },
      ));
    })().catch(() => undefined);
    const { closed } = await feed.stream(index);
    leave.abort();
    expect(await closed).toBe('client');
    await reading;
  });
});

/** grpc-js hands the details on as bytes of a trailer. */
function withDetails(error: ConnectError): unknown {
  const bytes = error.metadata.get('grpc-status-details-bin');
  if (bytes === null || error.details.length > 0) return error;
  const metadata = { get: () => [Buffer.from(bytes, 'base64')] };
  return Object.assign(new Error(error.rawMessage), {
    code: error.code,
    details: error.rawMessage,
    metadata,
  });
}

describe.each(connectClients)('$name', ({ connect }) => {
  test('makes unary calls before, beside and after a stream', async () => {
    const client = connect(feed.address);
    const leave = new AbortController();
    expect((await client.ack({})).acknowledged).toBe(7);
    const index = feed.opened.length;
    const reading = (async () => {
      for await (const _ of client.subscribe({ deviceId: 'silent' }, { signal: leave.signal }));
    })().catch(() => undefined);
    const { closed } = await feed.stream(index);
    expect((await client.ack({})).acknowledged).toBe(7);
    leave.abort();
    await Promise.all([closed, reading]);
    expect((await client.ack({})).acknowledged).toBe(7);
  });
});
