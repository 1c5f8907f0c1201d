// HTTP/1.1 as it is on the wire: requests in any pieces, preflights, reused connections, trailers, base64, and answers byte by byte.
import { fromBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SubscribeResponseSchema } from '../../gen/carillon/v1/edge_pb.ts';
import { type NumberedFeed, numberedFeed } from './numbered-feed.fixture.ts';
import {
  dechunked,
  enveloped,
  messagesOf,
  RawClient,
  type RawRequest,
  rawRequest,
  subscribeBody,
} from './raw-http.fixture.ts';

const COUNT = 3;
let feed: NumberedFeed;
beforeAll(async () => {
  feed = await numberedFeed(COUNT);
});
afterAll(() => feed[Symbol.asyncDispose]());

const numbers = subscribeBody('numbers');
const seqOf = (message: Uint8Array) => {
  const { frame } = fromBinary(SubscribeResponseSchema, message);
  return frame.case === 'deliver' ? frame.value.seq : undefined;
};

async function answerOf(...pieces: (Uint8Array | string)[]): Promise<Buffer> {
  const client = await RawClient.connect(feed.address);
  for (const piece of pieces) {
    client.send(piece);
    // So that each piece arrives by itself.
    await new Promise((resolve) => setImmediate(resolve));
  }
  await client.end();
  return client.received;
}

function expectNumbers(response: Buffer): void {
  const messages = messagesOf(dechunked(response).body);
  expect(messages.map(({ flags }) => flags)).toEqual([0, 0, 0, 2]);
  expect(messages.slice(0, COUNT).map(({ message }) => seqOf(message))).toEqual([1, 2, 3]);
  expect(messages[COUNT]?.message.toString()).toBe('{}');
}

const chunks = (...parts: Uint8Array[]) =>
  Buffer.concat([
    ...parts.flatMap((part) => [
      Buffer.from(`${part.length.toString(16)};x=1\r\n`),
      part,
      Buffer.from('\r\n'),
    ]),
    Buffer.from('0\r\nx-trailer: 1\r\n\r\n'),
  ]);
const chunkedHead: RawRequest = { headers: { 'content-length': undefined, 'transfer-encoding': 'chunked' } };

describe('a request may come in any pieces', () => {
  test('byte by byte', async () => {
    const bytes = rawRequest({ body: numbers });
    expectNumbers(await answerOf(...Array.from(bytes, (byte) => Buffer.from([byte]))));
  });
  test('in chunks, byte by byte', async () => {
    const body = chunks(numbers.subarray(0, 3), numbers.subarray(3));
    const bytes = rawRequest({ ...chunkedHead, body });
    expectNumbers(await answerOf(...Array.from(bytes, (byte) => Buffer.from([byte]))));
  });
  test('in chunks, all at once', async () => {
    expectNumbers(await answerOf(rawRequest({ ...chunkedHead, body: chunks(numbers) })));
  });
  test('with the body only when asked for it', async () => {
    const client = await RawClient.connect(feed.address);
    client.send(
      rawRequest({
        headers: { expect: '100-continue', 'content-length': String(numbers.length) },
        body: Buffer.alloc(0),
      }),
    );
    await client.until(({ text }) => text === 'HTTP/1.1 100 Continue\r\n\r\n');
    client.send(numbers);
    await client.end();
    expectNumbers(client.received.subarray(25));
  });
  test.each(['-1', 'g', '', '1 1', '123456789'])('a chunk of size %j is refused', async (size) => {
    const response = await answerOf(
      rawRequest({ ...chunkedHead, body: Buffer.from(`${size}\r\nx\r\n0\r\n\r\n`) }),
    );
    expect(response.toString('latin1', 0, 12)).toBe('HTTP/1.1 400');
  });
});

test('a preflight and the call it asks for go over one connection', async () => {
  const client = await RawClient.connect(feed.address);
  const headers = { origin: 'https://app.test', 'content-type': undefined, 'content-length': undefined };
  client.send(rawRequest({ method: 'OPTIONS', headers, body: Buffer.alloc(0) }));
  await client.until(({ text }) => text.endsWith('\r\n\r\n'));
  expect(client.text).toMatch(/^HTTP\/1.1 204 /);
  expect(client.text).toMatch(
    /access-control-allow-headers: .*connect-protocol-version.*authorization.*traceparent/i,
  );
  const before = client.received.length;
  client.send(rawRequest({ headers: { origin: 'https://app.test' }, body: numbers }));
  await client.end();
  expectNumbers(client.received.subarray(before));
  expect(client.text.slice(before)).toContain('access-control-allow-origin: *\r\n');
});

test('a unary call and then a stream go over one connection', async () => {
  const client = await RawClient.connect(feed.address);
  const ack = { path: '/carillon.v1.EdgeService/Ack', headers: { 'content-type': 'application/json' } };
  client.send(rawRequest({ ...ack, body: Buffer.from('{}') }));
  await client.until(({ text }) => text.includes('{"acknowledged":7}'));
  const before = client.received.length;
  client.send(rawRequest({ body: numbers }));
  await client.end();
  expectNumbers(client.received.subarray(before));
});

test('gRPC over HTTP/1.1 ends with trailers', async () => {
  const headers = { 'content-type': 'application/grpc', te: 'trailers' };
  const { body, trailers } = dechunked(await answerOf(rawRequest({ headers, body: numbers })));
  expect(messagesOf(body).map(({ message }) => seqOf(message))).toEqual([1, 2, 3]);
  expect(trailers).toBe('grpc-status: 0\r\n\r\n');
});

test('gRPC-Web as text is base64 both ways', async () => {
  const headers = { 'content-type': 'application/grpc-web-text' };
  const body = Buffer.from(numbers.toString('base64'));
  const answer = dechunked(await answerOf(rawRequest({ headers, body })));
  const texts = answer.body.toString('latin1').match(/[^=]+=*/g) ?? [];
  const messages = messagesOf(Buffer.concat(texts.map((text) => Buffer.from(text, 'base64'))));
  expect(messages.map(({ flags }) => flags)).toEqual([0, 0, 0, 0x80]);
  expect(messages[COUNT]?.message.toString()).toBe('grpc-status: 0\r\n');
});

test('messages of one turn go as one write, and the handler knows the headers and the client', async () => {
  const client = await RawClient.connect(feed.address);
  const index = feed.opened.length;
  client.send(rawRequest({ headers: { Authorization: 'Bearer x', 'x-twice': 'a', 'X-TWICE': 'b' } }));
  const { stream, headers } = await feed.stream(index);
  const said = ['authorization', 'x-twice', 'x-none'].map((name) => headers.get(name));
  expect(said).toEqual(['Bearer x', 'a, b', null]);
  expect(stream.remoteAddress).toBe('127.0.0.1');
  await client.begun(stream);
  const before = client.received.length;
  const send = (...bytes: number[]) => stream.send(Buffer.from([1]), Buffer.from(bytes));
  // The first goes at once, the others of the turn together behind it.
  for (let n = 0; n < 3; n++) send(n);
  await client.until(({ received }) => received.length > before + 20);
  expect(client.received.subarray(before)).toEqual(
    Buffer.concat([
      Buffer.from('7\r\n'),
      enveloped(Buffer.from([1, 0])),
      Buffer.from('\r\ne\r\n'),
      enveloped(Buffer.from([1, 1])),
      enveloped(Buffer.from([1, 2])),
      Buffer.from('\r\n'),
    ]),
  );
  // It sends in bursts: the next burst is one write from its first message on.
  const second = client.received.length;
  for (let n = 0; n < 3; n++) send(n);
  await client.until(({ received }) => received.length > second + 20);
  expect(client.text.slice(second, second + 4)).toBe('15\r\n');
  client.socket.destroy();
});
