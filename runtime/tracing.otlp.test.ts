// What leaves over OTLP is one tree a flow, read back by OTLP's published field numbers.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { afterEach, describe, expect, test } from 'vitest';
import { CarillonError } from './errors.ts';
import { silentLog } from './log.ts';
import { openTracing } from './tracing.otlp.ts';
import { isSampled, tracingOff } from './tracing.ts';

/** Fields by number, as OTLP's published numbers have it; lengths of the bytes are all the structure there is. */
function fields(bytes: Uint8Array): Map<number, (Uint8Array | bigint)[]> {
  const reader = new BinaryReader(bytes);
  const found = new Map<number, (Uint8Array | bigint)[]>();
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    const value =
      wire === 2
        ? reader.bytes()
        : wire === 1
          ? BigInt(reader.fixed64())
          : wire === 5
            ? BigInt(reader.fixed32())
            : BigInt(reader.uint64());
    found.set(number, [...(found.get(number) ?? []), value]);
  }
  return found;
}

const bytesOf = (value: Uint8Array | bigint | undefined) =>
  value instanceof Uint8Array ? value : new Uint8Array();
const hex = (value: Uint8Array | bigint | undefined) => Buffer.from(bytesOf(value)).toString('hex');
const utf8 = (value: Uint8Array | bigint | undefined) => Buffer.from(bytesOf(value)).toString();

interface SeenSpan {
  service: string;
  name: string;
  traceId: string;
  spanId: string;
  parentId: string;
  startMs: number;
  endMs: number;
  links: string[];
  status: number;
  attributes: string[];
}

function service(resource: Uint8Array): string {
  for (const attribute of fields(resource).get(1) ?? []) {
    const pair = fields(bytesOf(attribute));
    if (utf8(pair.get(1)?.[0]) === 'service.name') return utf8(fields(bytesOf(pair.get(2)?.[0])).get(1)?.[0]);
  }
  return '';
}

function span(of: string, encoded: Uint8Array): SeenSpan {
  const found = fields(encoded);
  const ms = (number: number) => Math.round(Number((found.get(number)?.[0] ?? 0n) as bigint) / 1e3) / 1e3;
  return {
    service: of,
    traceId: hex(found.get(1)?.[0]),
    spanId: hex(found.get(2)?.[0]),
    parentId: hex(found.get(4)?.[0]),
    name: utf8(found.get(5)?.[0]),
    startMs: ms(7),
    endMs: ms(8),
    attributes: (found.get(9) ?? []).map((each) => utf8(fields(bytesOf(each)).get(1)?.[0])),
    links: (found.get(13) ?? []).map((each) => hex(fields(bytesOf(each)).get(1)?.[0])),
    status: Number(fields(bytesOf(found.get(15)?.[0])).get(3)?.[0] ?? 0n),
  };
}

function spansOf(request: Uint8Array): SeenSpan[] {
  return (fields(request).get(1) ?? []).flatMap((resourceSpans) => {
    const parts = fields(bytesOf(resourceSpans));
    const of = service(bytesOf(parts.get(1)?.[0]));
    return (parts.get(2) ?? []).flatMap((scope) =>
      (fields(bytesOf(scope)).get(2) ?? []).map((each) => span(of, bytesOf(each))),
    );
  });
}

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function receiver() {
  const spans: SeenSpan[] = [];
  const paths: string[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    paths.push(`${request.url} ${request.headers['content-type']}`);
    spans.push(...spansOf(Buffer.concat(chunks)));
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  open.push(() => new Promise((resolve) => server.close(() => resolve())));
  return { spans, paths, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

function tracingTo(url: string, environment: Record<string, string> = {}) {
  const tracing = openTracing({
    environment: { OTEL_EXPORTER_OTLP_ENDPOINT: url, ...environment },
    log: silentLog,
  });
  open.push(() => Promise.resolve(tracing[Symbol.asyncDispose]()));
  return tracing;
}

const SAMPLED = '00-0123456789abcdef0123456789abcdef-0123456789abcdef-01';
const NOT_SAMPLED = '00-0123456789abcdef0123456789abcdef-0123456789abcdef-00';

describe('a flow', () => {
  test('is one tree under the parent that the caller named, with the times that were given', async () => {
    const { spans, paths, url } = await receiver();
    const tracing = tracingTo(url);
    const send = tracing.root('Send', { parent: SAMPLED, kind: 'server' });
    const wait = tracing.span('outbox.wait', { parent: send.traceparent, startMs: 1_800_000_000_000 });
    wait.end(1_800_000_000_250);
    const batch = tracing.span('plan', {
      parent: wait.traceparent,
      links: [SAMPLED, 'nonsense'],
      attributes: { lane: 'normal' },
    });
    batch.fail(new CarillonError('STORE_UNAVAILABLE'));
    batch.end();
    batch.end();
    send.end();
    await tracing.flush();
    expect(paths[0]).toBe('/v1/traces application/x-protobuf');
    const byName = new Map(spans.map((each) => [each.name, each]));
    expect(spans).toHaveLength(3);
    expect(byName.get('Send')).toMatchObject({
      service: 'carillon',
      traceId: SAMPLED.slice(3, 35),
      parentId: SAMPLED.slice(36, 52),
    });
    expect(byName.get('outbox.wait')).toMatchObject({
      traceId: SAMPLED.slice(3, 35),
      parentId: byName.get('Send')?.spanId,
      startMs: 1_800_000_000_000,
      endMs: 1_800_000_000_250,
    });
    expect(byName.get('plan')).toMatchObject({
      parentId: byName.get('outbox.wait')?.spanId,
      links: [SAMPLED.slice(3, 35)],
      status: 2,
      attributes: ['lane', 'error.type'],
    });
  });

  test('without a caller begins a trace of its own', async () => {
    const { spans, url } = await receiver();
    const tracing = tracingTo(url, { OTEL_SERVICE_NAME: 'mine' });
    const root = tracing.root('Send', { parent: undefined });
    expect(isSampled(root.traceparent)).toBe(true);
    root.end();
    tracing.root('Send', { parent: 'nonsense' }).end();
    await tracing.flush();
    expect(spans.map(({ parentId }) => parentId)).toEqual(['', '']);
    expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(2);
    expect(spans[0]?.service).toBe('mine');
  });

  test('that the caller does not sample makes no spans, and its context is handed on', async () => {
    const { spans, url } = await receiver();
    const tracing = tracingTo(url);
    const root = tracing.root('Send', { parent: NOT_SAMPLED });
    expect(root.traceparent).toBe(NOT_SAMPLED);
    const below = tracing.span('plan', { parent: root.traceparent });
    expect(below.traceparent).toBe(NOT_SAMPLED);
    below.end();
    root.end();
    tracing.span('plan', { parent: undefined }).end();
    await tracing.flush();
    expect(spans).toEqual([]);
  });
});

describe('sampling', () => {
  test('takes the asked share of new flows, and every flow that came sampled', async () => {
    const { url } = await receiver();
    const tracing = tracingTo(url, {
      OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '0.25',
    });
    let sampled = 0;
    for (let i = 0; i < 2_000; i++) {
      const root = tracing.root('Send', { parent: undefined });
      if (isSampled(root.traceparent)) sampled++;
    }
    expect(sampled).toBeGreaterThan(350);
    expect(sampled).toBeLessThan(650);
    expect(isSampled(tracing.root('Send', { parent: SAMPLED }).traceparent)).toBe(true);
  });

  test.each([
    ['always_off', undefined, false],
    ['parentbased_always_off', undefined, false],
    ['always_on', NOT_SAMPLED, true],
    ['parentbased_always_on', NOT_SAMPLED, false],
  ])('%s under %s: %s', async (name, parent, expected) => {
    const { url } = await receiver();
    const root = tracingTo(url, { OTEL_TRACES_SAMPLER: name }).root('Send', { parent });
    expect(isSampled(root.traceparent)).toBe(expected);
  });
});

describe('set-up', () => {
  test.each([
    {},
    { OTEL_EXPORTER_OTLP_ENDPOINT: '' },
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://h', OTEL_SDK_DISABLED: 'true' },
  ])('%o: off', (environment) => {
    expect(openTracing({ environment, log: silentLog })).toBe(tracingOff);
  });

  test.each([
    [{ OTEL_TRACES_SAMPLER: 'sometimes' }, /OTEL_TRACES_SAMPLER cannot be sometimes/],
    [{ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '7' }, /ratio from 0 to 1/],
    [{ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, /only be http\/protobuf/],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'localhost' }, /not a URL/],
  ])('%o is refused', (environment, said) => {
    expect(() =>
      openTracing({
        environment: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://h', ...environment },
        log: silentLog,
      }),
    ).toThrow(said);
  });

  test('a receiver that is not there holds nobody up', async () => {
    const tracing = tracingTo('http://127.0.0.1:1');
    tracing.root('Send', { parent: undefined }).end();
    await tracing[Symbol.asyncDispose]();
    await tracing[Symbol.asyncDispose]();
  });
});
