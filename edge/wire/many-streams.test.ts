// Streams share the memory they write from; each client gets its own bytes all the same, also beside clients that do not read.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { limits } from '../../runtime/limits.ts';
import type { ClientStream } from './client-stream.ts';
import { cut, type NumberedFeed, numberedFeed } from './numbered-feed.fixture.ts';
import { dechunked, messagesOf, RawClient, rawRequest } from './raw-http.fixture.ts';

const STREAMS = 200;
const ROUNDS = 60;

let feed: NumberedFeed;
beforeAll(async () => {
  feed = await numberedFeed(0);
});
afterAll(() => feed[Symbol.asyncDispose]());

async function open(): Promise<{ client: RawClient; stream: ClientStream }> {
  const client = await RawClient.connect(feed.address);
  const index = feed.opened.length;
  client.send(rawRequest());
  return { client, stream: (await feed.stream(index)).stream };
}

/** Different for each stream and round, and of a length that changes: some fit the shared memory, some do not. */
function payload(stream: number, round: number): Buffer {
  return Buffer.alloc(20 + ((stream * 31 + round * 7) % 1_500), `${stream}/${round} `);
}

test('two hundred streams in bursts and one by one, some of them asleep', async () => {
  const all: Awaited<ReturnType<typeof open>>[] = [];
  for (let index = 0; index < STREAMS; index++) all.push(await open());
  const asleep = all.filter((_, index) => index % 5 === 0);
  for (const { client } of asleep) client.socket.pause();
  const shared = Buffer.alloc(100, 'shared');
  const head = Buffer.alloc(1_600);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, { stream }] of all.entries()) {
      // The head's memory serves the next stream: it must have been copied.
      const length = payload(index, round).copy(head);
      stream.send(head.subarray(0, length), round % 3 === 0 ? undefined : shared);
      if (round % 7 === 0) stream.send(payload(index, round));
    }
    if (round % 4 !== 0) await new Promise((resolve) => setImmediate(resolve));
  }
  for (const { stream } of all) stream.end();
  for (const { client } of asleep) client.socket.resume();
  for (const [index, { client }] of all.entries()) {
    await client.end();
    const expected: Buffer[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const own = payload(index, round);
      expected.push(round % 3 === 0 ? own : Buffer.concat([own, shared]));
      if (round % 7 === 0) expected.push(own);
    }
    const messages = messagesOf(dechunked(client.received).body);
    expect(messages.at(-1)?.flags).toBe(2);
    expect(
      Buffer.concat(messages.slice(0, -1).map(({ message }) => message)).equals(Buffer.concat(expected)),
    ).toBe(true);
  }
});

test('what a client does not take is counted, and its stream tells when it is taken', {
  timeout: 30_000,
}, async () => {
  const { client, stream } = await open();
  await client.begun(stream);
  client.socket.pause();
  const message = Buffer.alloc(64_000, 'x');
  let sent = 0;
  const fill = async () => {
    while (stream.bufferedBytes <= limits.streamBufferBytes) {
      stream.send(message);
      sent += 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await fill();
  // One message and its frame more than the bound, and no more.
  expect(stream.bufferedBytes).toBeLessThan(limits.streamBufferBytes + 2 * message.length);
  const drained = new Promise<void>((resolve) => stream.onDrain(resolve));
  client.socket.resume();
  await drained;
  expect(stream.bufferedBytes).toBe(0);
  client.socket.pause();
  await fill();
  client.socket.resume();
  stream.end();
  await client.end();
  const messages = messagesOf(dechunked(client.received).body);
  expect(messages.length).toBe(1 + sent + 1);
  expect(messages.slice(1, -1).every(({ message: got }) => got.equals(message))).toBe(true);
});

test('a burst that is taken at once is drained, too', async () => {
  const { client, stream } = await open();
  let drained = 0;
  stream.onDrain(() => {
    drained += 1;
  });
  for (let n = 0; n < 10; n++) stream.send(Buffer.alloc(limits.streamBufferBytes / 8));
  expect(stream.bufferedBytes).toBeGreaterThan(limits.streamBufferBytes);
  await client.until(({ received }) => received.length > limits.streamBufferBytes * 1.25);
  await new Promise((resolve) => setImmediate(resolve));
  expect([drained, stream.bufferedBytes]).toEqual([1, 0]);
  client.socket.destroy();
});

test('after the end nothing is sent, and a broken connection is lost', async () => {
  const ended = await open();
  ended.stream.end();
  ended.stream.send(Buffer.from('late'));
  expect(await ended.client.end()).not.toContain('late');
  const index = feed.opened.length;
  const broken = await open();
  const { closed } = await feed.stream(index);
  broken.client.socket.resetAndDestroy();
  expect(await closed).toBe('lost');
  broken.stream.send(Buffer.from('late'));
  const other = await open();
  cut(other.stream);
  await other.client.end();
  expect(feed.port.openStreams).toBe(0);
});
