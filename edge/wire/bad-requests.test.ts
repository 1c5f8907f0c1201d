// Requests that are wrong in one way each: the protocol's own error with a reason, or a plain refusal, and the port lives on.
import { gzipSync } from 'node:zlib';
import { create, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SubscribeRequestSchema } from '../../gen/carillon/v1/edge_pb.ts';
import { limits } from '../../runtime/limits.ts';
import { validate } from '../../runtime/validation.ts';
import { type NumberedFeed, numberedFeed } from './numbered-feed.fixture.ts';
import {
  enveloped,
  exchange,
  RawClient,
  type RawRequest,
  rawRequest,
  subscribeBody,
} from './raw-http.fixture.ts';

let feed: NumberedFeed;
beforeAll(async () => {
  feed = await numberedFeed(3, { validate: (request) => validate(SubscribeRequestSchema, request) });
});
afterAll(() => feed[Symbol.asyncDispose]());

const message = (deviceId: string) =>
  toBinary(SubscribeRequestSchema, create(SubscribeRequestSchema, { deviceId }));
const bomb = gzipSync(Buffer.alloc(64 * 1_024 * 1_024));
const gzip = { 'connect-content-encoding': 'gzip' };

describe('the answer comes in the protocol, with its reason', () => {
  const cases: [string, RawRequest, code: string, reason: string][] = [
    ['no message at all', { body: Buffer.alloc(0) }, 'invalid_argument', 'INVALID_REQUEST'],
    [
      'an envelope cut short',
      { body: subscribeBody('x').subarray(0, 6) },
      'invalid_argument',
      'INVALID_REQUEST',
    ],
    [
      'two messages',
      { body: Buffer.concat([subscribeBody('x'), subscribeBody('y')]) },
      'invalid_argument',
      'INVALID_REQUEST',
    ],
    ['unknown flags', { body: enveloped(message('x'), 4) }, 'invalid_argument', 'INVALID_REQUEST'],
    [
      'no protobuf',
      { body: enveloped(Buffer.from([0xff, 0xff, 0xff])) },
      'invalid_argument',
      'INVALID_REQUEST',
    ],
    [
      'no JSON',
      { headers: { 'content-type': 'application/connect+json' }, body: enveloped(Buffer.from('{"a"')) },
      'invalid_argument',
      'INVALID_REQUEST',
    ],
    [
      'no UTF-8',
      {
        headers: { 'content-type': 'application/connect+json' },
        body: enveloped(Buffer.from([0x22, 0xc3, 0x22])),
      },
      'invalid_argument',
      'INVALID_REQUEST',
    ],
    ['a broken rule', { body: enveloped(message('x'.repeat(300))) }, 'invalid_argument', 'INVALID_REQUEST'],
    [
      'a length that lies',
      { body: Buffer.from([0, 0xff, 0xff, 0xff, 0xff]) },
      'resource_exhausted',
      'MESSAGE_TOO_LARGE',
    ],
    [
      'a message too large',
      { body: enveloped(Buffer.alloc(limits.edgeMessageBytes + 1)) },
      'resource_exhausted',
      'MESSAGE_TOO_LARGE',
    ],
    [
      'a body that is announced too large',
      { headers: { 'content-length': '100000000' } },
      'resource_exhausted',
      'MESSAGE_TOO_LARGE',
    ],
    ['a gzip bomb', { headers: gzip, body: enveloped(bomb, 1) }, 'resource_exhausted', 'MESSAGE_TOO_LARGE'],
    ['no gzip', { headers: gzip, body: enveloped(message('x'), 1) }, 'invalid_argument', 'INVALID_REQUEST'],
    [
      'compressed, and no word how',
      { body: enveloped(gzipSync('x'), 1) },
      'invalid_argument',
      'INVALID_REQUEST',
    ],
    [
      'a compression that is not known',
      { headers: { 'connect-content-encoding': 'br' } },
      'unimplemented',
      'UNSUPPORTED',
    ],
    [
      'a version that is not known',
      { headers: { 'connect-protocol-version': '2' } },
      'invalid_argument',
      'INVALID_REQUEST',
    ],
    [
      'a time-out that is none',
      { headers: { 'connect-timeout-ms': '1s' } },
      'invalid_argument',
      'INVALID_REQUEST',
    ],
  ];
  test.each(cases)('%s', async (_, request, code, reason) => {
    const text = await exchange(feed.address, rawRequest(request));
    expect(text.startsWith('HTTP/1.1 200 OK\r\n')).toBe(true);
    expect(text).toContain(`"code":"${code}"`);
    expect(text).toContain(`"reason":"${reason}"`);
  });
});

describe('a request that is no request of ours is refused, and the connection closed', () => {
  const cases: [string, RawRequest | string, status: number][] = [
    ['another content type', { headers: { 'content-type': 'text/html' } }, 415],
    ['a unary content type', { headers: { 'content-type': 'application/proto' } }, 415],
    ['no content type', { headers: { 'content-type': undefined } }, 415],
    ['length and chunks', { headers: { 'transfer-encoding': 'chunked' } }, 400],
    [
      'a coding that is not known',
      { headers: { 'transfer-encoding': 'gzip', 'content-length': undefined } },
      400,
    ],
    ['a length that is none', { headers: { 'content-length': '-1' } }, 400],
    ['two lengths in one', { headers: { 'content-length': '5, 5' } }, 400],
    ['no host', { headers: { host: undefined } }, 400],
    ['a header folded over lines', { headers: { 'x-a': 'b\r\n c' } }, 400],
    ['a name with a space', { headers: { 'x a': 'b' } }, 400],
    ['a control character', { headers: { 'x-a': 'b\u0001' } }, 400],
    ['too long a head', { headers: { 'x-a': 'b'.repeat(limits.headerBytes) } }, 431],
    [
      'too many headers',
      { headers: Object.fromEntries(Array.from({ length: 101 }, (_, n) => [`x-${n}`, '1'])) },
      431,
    ],
    ['an expectation that is not known', { headers: { expect: 'wonders' } }, 417],
    ['more after the request', { headers: { 'content-length': '5' }, body: Buffer.alloc(9) }, 400],
    ['an older version', { version: '1.0' }, 505],
    ['another version', { version: '2.0' }, 505],
    [
      'a path that does not exist',
      { path: '/carillon.v1.EdgeService/Nothing', headers: { connection: 'close' } },
      404,
    ],
    ['no HTTP', `${'\u0000'.repeat(40)}\r\n\r\n`, 400],
    ['TLS on a plain port', '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\r\n\r\n', 400],
  ];
  test.each(cases)('%s', async (_, request, status) => {
    const bytes = typeof request === 'string' ? Buffer.from(request, 'latin1') : rawRequest(request);
    expect((await exchange(feed.address, bytes)).slice(0, 13)).toBe(`HTTP/1.1 ${status} `);
  });
});

test('a header twice that must stand once is refused', async () => {
  const twice = rawRequest().toString('latin1').replace('\r\n', '\r\nhost: other.test\r\n');
  expect((await exchange(feed.address, Buffer.from(twice, 'latin1'))).slice(0, 12)).toBe('HTTP/1.1 400');
});

test('a host that makes no URL does not end the process', async () => {
  const request = { path: '/carillon.v1.EdgeService/Ack', body: Buffer.alloc(0) };
  const headers = { host: '[', 'content-type': 'application/proto', connection: 'close' };
  expect((await exchange(feed.address, rawRequest({ ...request, headers }))).slice(0, 9)).toBe('HTTP/1.1 ');
  expect(await exchange(feed.address, rawRequest({ body: subscribeBody('numbers') }))).toContain(
    'HTTP/1.1 200',
  );
});

test('unknown fields are passed over', async () => {
  const body = enveloped(Buffer.concat([message('numbers'), Buffer.from([0xfa, 0x3e, 2, 1, 1])]));
  const index = feed.opened.length;
  await exchange(feed.address, rawRequest({ body }));
  expect(feed.opened[index]?.request).toMatchObject({ deviceId: 'numbers' });
  expect(feed.opened[index]?.request.$unknown).toBeUndefined();
});

test('whoever talks on after the request is cut off', async () => {
  const client = await RawClient.connect(feed.address);
  const index = feed.opened.length;
  client.send(rawRequest());
  const { closed } = await feed.stream(index);
  client.send('GET / HTTP/1.1\r\n\r\n');
  await client.end();
  expect(await closed).toBe('lost');
});
