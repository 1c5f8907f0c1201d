// One HTTP call: whether a byte of it may have arrived, what is kept of the answer, and that nothing is done twice.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, expect, it } from 'vitest';
import { limits } from '../runtime/limits.ts';
import { HttpCaller, type HttpResult, jsonOf, retryAfterMs } from './http-call.ts';
import { startFakeServer } from './http-server.fixture.ts';

const calm = () => new AbortController().signal;
const answer = (result: HttpResult) => {
  if ('outcome' in result) throw new Error(`no answer: ${result.outcome.kind}`);
  return result.answer;
};

describe('a call', () => {
  it('is made once, with what it is given, and brings the whole answer', async () => {
    await using server = await startFakeServer(() => ({
      status: 418,
      headers: { 'x-one': 'two' },
      body: { a: 1 },
    }));
    await using caller = new HttpCaller({ baseUrl: `${server.url}/base/` });
    const result = await caller.call({
      path: '/path?q=1',
      headers: { 'content-type': 'text/plain' },
      body: 'Grüezi',
      signal: calm(),
    });
    expect(answer(result)).toMatchObject({ status: 418, whole: true, headers: { 'x-one': 'two' } });
    expect(jsonOf(answer(result))).toEqual({ a: 1 });
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]).toMatchObject({
      method: 'POST',
      url: '/base/path?q=1',
      body: Buffer.from('Grüezi'),
    });
  });

  it('without a path of its own goes to the base URL as it is', async () => {
    await using server = await startFakeServer(() => ({ status: 200 }));
    for (const path of ['', '/', '/hook', '/hook/']) {
      await using caller = new HttpCaller({ baseUrl: server.url + path });
      await caller.call({ path: '', signal: calm() });
    }
    expect(server.requests.map(({ url }) => url)).toEqual(['/', '/', '/hook', '/hook/']);
  });

  it('is not made when it is too late already', async () => {
    await using server = await startFakeServer(() => ({ status: 200 }));
    await using caller = new HttpCaller({ baseUrl: server.url });
    const result = await caller.call({ path: '/', signal: AbortSignal.abort() });
    expect(result).toMatchObject({ outcome: { kind: 'down' } });
    expect(server.requests).toHaveLength(0);
  });

  it('whose patience ends while it connects was certainly not made', async () => {
    const patience = new AbortController();
    // A name that is looked up for ever.
    await using caller = new HttpCaller({ baseUrl: 'http://hooks.example', lookup: () => patience.abort() });
    const result = await caller.call({ path: '/', signal: patience.signal });
    expect(result).toMatchObject({ outcome: { kind: 'down' } });
  });

  it('that cannot be put into HTTP is a matter of configuration', async () => {
    await using server = await startFakeServer(() => ({ status: 200 }));
    await using caller = new HttpCaller({ baseUrl: server.url });
    const result = await caller.call({ path: '/', headers: { 'x-key': 'a\r\nb: c' }, signal: calm() });
    expect(result).toMatchObject({ outcome: { kind: 'config' } });
    expect(server.requests).toHaveLength(0);
  });

  it('is definite about each of many that go over one connection', async () => {
    await using server = await startFakeServer(({ url }) => ({ status: 200, body: url }));
    await using caller = new HttpCaller({ baseUrl: server.url, connections: 1 });
    const paths = Array.from({ length: 20 }, (_, n) => `/${n}`);
    const results = await Promise.all(paths.map((path) => caller.call({ path, signal: calm() })));
    expect(results.map((result) => answer(result).body.toString())).toEqual(paths);
  });

  it('after the caller was closed is not made', async () => {
    await using server = await startFakeServer(() => ({ status: 200 }));
    const caller = new HttpCaller({ baseUrl: server.url });
    await caller[Symbol.asyncDispose]();
    await caller[Symbol.asyncDispose]();
    expect(await caller.call({ path: '/', signal: calm() })).toMatchObject({ outcome: { kind: 'down' } });
    expect(server.requests).toHaveLength(0);
  });
});

describe('an answer', () => {
  it('that is longer than anybody wants is cut, and its status counts', async () => {
    await using server = await startFakeServer(() => ({
      status: 400,
      body: 'x'.repeat(limits.httpAnswerBytes * 3),
    }));
    await using caller = new HttpCaller({ baseUrl: server.url });
    const { status, whole, body } = answer(await caller.call({ path: '/', signal: calm() }));
    expect({ status, whole, bytes: body.length }).toEqual({
      status: 400,
      whole: false,
      bytes: limits.httpAnswerBytes,
    });
  });

  it('whose head alone came before our patience ended is one all the same', async () => {
    await using server = await startFakeServer(() => ({ status: 202, body: 'x' }));
    server.fault = 'stall';
    const patience = new AbortController();
    const onHead = () => setImmediate(() => patience.abort());
    subscribe('undici:request:headers', onHead);
    await using caller = new HttpCaller({ baseUrl: server.url });
    const result = await caller.call({ path: '/', signal: patience.signal });
    unsubscribe('undici:request:headers', onHead);
    expect(answer(result)).toMatchObject({ status: 202, whole: false });
  });

  it('that was cut is no JSON, whatever it looks like', () => {
    const body = Buffer.from('{"a":1}');
    expect(jsonOf({ status: 200, headers: {}, body, whole: true })).toEqual({ a: 1 });
    expect(jsonOf({ status: 200, headers: {}, body, whole: false })).toBeUndefined();
    expect(jsonOf({ status: 200, headers: {}, body: Buffer.from('{'), whole: true })).toBeUndefined();
  });
});

it.each([
  ['0', 0],
  ['7', 7_000],
  ['1.5', 1_500],
  ['Fri, 15 Jan 2027 08:00:09 GMT', 9_000],
  ['Fri, 15 Jan 2027 07:00:00 GMT', 0],
  ['soon', undefined],
  ['-1', undefined],
  ['99999999999', undefined],
  ['2027-01-15', undefined],
  ['', undefined],
  [undefined, undefined],
])('Retry-After %j asks for %j milliseconds', (text, expected) => {
  expect(retryAfterMs({ 'retry-after': text }, 1_800_000_000_000)).toBe(expected);
});
