// One request, byte for byte, over any protocol and HTTP version; and how it was answered, read without our own client code.
import http from 'node:http';
import http2 from 'node:http2';
import type { JsonValue } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { endStreamFromJson, errorFromJson } from '@connectrpc/connect/protocol-connect';
import { findTrailerError } from '@connectrpc/connect/protocol-grpc';
import { trailerParse } from '@connectrpc/connect/protocol-grpc-web';
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts';
import { systemClock } from '../../runtime/clock.ts';
import { inTime } from '../../runtime/in-time.ts';

/** While two cores run more than this. */
const ANSWER_WITHIN_MS = 8_000;

type Family = 'connect' | 'grpc' | 'grpc-web';

export interface Wire {
  readonly name: string;
  readonly http: 1 | 2;
  readonly family: Family;
  /** HTTP/1.1 without a content-length. */
  readonly chunked: boolean;
}

const wire = (version: 1 | 2, family: Family, chunked = false): Wire => ({
  name: `${family} on HTTP/${version}${chunked ? ', chunked' : ''}`,
  http: version,
  family,
  chunked,
});

/** gRPC on HTTP/1.1 stands only in the first list: nothing but Subscribe serves that. */
export const allWires: readonly Wire[] = [
  wire(1, 'connect'),
  wire(1, 'connect', true),
  wire(1, 'grpc-web'),
  wire(1, 'grpc'),
  wire(2, 'connect'),
  wire(2, 'grpc-web'),
  wire(2, 'grpc'),
];
export const unaryWires = allWires.filter(({ http: version, family }) => version === 2 || family !== 'grpc');
export const http2Wires = allWires.filter(({ http: version }) => version === 2);

export interface WireCall {
  /** `http://host:port`. */
  address: string;
  /** `/service/method`. */
  path: string;
  streaming: boolean;
  message: Uint8Array;
  headers?: Record<string, string> | undefined;
  /** Says that the message is compressed by this, whatever it is. */
  encoding?: string | undefined;
  contentType?: string | undefined;
  method?: string | undefined;
  /** The body as it is, instead of the message in its envelope. */
  body?: Uint8Array | undefined;
}

export interface WireAnswer {
  /** Of HTTP. */
  status: number;
  /** Absent: neither a code nor success was said. 0: OK. */
  code: Code | 0 | undefined;
  reason: string | undefined;
  /** All that came. */
  bytes: number;
}

interface Raw {
  status: number;
  headers: Headers;
  body: Buffer;
  trailers: Headers;
}

function envelope(message: Uint8Array, compressed: boolean): Buffer {
  const head = Buffer.alloc(5);
  head[0] = compressed ? 1 : 0;
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function requestOf({ family }: Wire, call: WireCall): { headers: Record<string, string>; body: Uint8Array } {
  const unary = family === 'connect' && !call.streaming;
  const base = {
    connect: unary ? 'application/' : 'application/connect+',
    grpc: 'application/grpc+',
    'grpc-web': 'application/grpc-web+',
  };
  const encoding = unary
    ? 'content-encoding'
    : family === 'connect'
      ? 'connect-content-encoding'
      : 'grpc-encoding';
  return {
    headers: {
      'content-type': call.contentType ?? `${base[family]}proto`,
      ...(family === 'grpc' && { te: 'trailers' }),
      ...(call.encoding !== undefined && { [encoding]: call.encoding }),
      ...call.headers,
    },
    body: call.body ?? (unary ? call.message : envelope(call.message, call.encoding !== undefined)),
  };
}

function headersOf(pairs: http.IncomingHttpHeaders | http2.IncomingHttpHeaders): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(pairs))
    if (value !== undefined && !name.startsWith(':')) headers.append(name, String(value));
  return headers;
}

function overHttp1(over: Wire, call: WireCall): Promise<Raw> {
  // As clients do: after an answer with `connection: close` node:http cuts a client in the middle of its request.
  const agent = new http.Agent({ keepAlive: true });
  const { headers, body } = requestOf(over, call);
  const sized = over.chunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': String(body.length) };
  return new Promise<Raw>((resolve, reject) => {
    const request = http.request(call.address + call.path, {
      method: call.method ?? 'POST',
      agent,
      headers: { ...headers, ...sized },
    });
    let answered = false;
    // A server that has answered need not read the rest.
    request.on('error', (error) => answered || reject(error));
    request.on('response', (response) => {
      answered = true;
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: headersOf(response.headers),
          body: Buffer.concat(parts),
          trailers: headersOf(response.trailers),
        }),
      );
    });
    request.end(body);
  }).finally(() => agent.destroy());
}

function overHttp2(over: Wire, call: WireCall): Promise<Raw> {
  const { headers, body } = requestOf(over, call);
  const session = http2.connect(call.address);
  return new Promise<Raw>((resolve, reject) => {
    session.on('error', reject);
    const stream = session.request({ ':method': call.method ?? 'POST', ':path': call.path, ...headers });
    const parts: Buffer[] = [];
    const raw: Raw = { status: 0, headers: new Headers(), body: Buffer.alloc(0), trailers: new Headers() };
    stream.on('response', (got) => {
      raw.status = Number(got[':status']);
      raw.headers = headersOf(got);
    });
    stream.on('trailers', (got) => {
      raw.trailers = headersOf(got);
    });
    stream.on('data', (part: Buffer) => parts.push(part));
    // A reset after the answer only says that the rest of the request is not wanted.
    stream.on('error', (error) => raw.status === 0 && reject(error));
    stream.on('close', () => resolve({ ...raw, body: Buffer.concat(parts) }));
    stream.end(body);
  }).finally(() => session.destroy());
}

/** The last frame with one of `flags`. */
function lastFrame(body: Buffer, flags: number): Buffer | undefined {
  let found: Buffer | undefined;
  for (let at = 0; at + 5 <= body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    if (((body[at] ?? 0) & flags) !== 0) found = body.subarray(at + 5, end);
    at = end;
  }
  return found;
}

/** The error that was said; undefined when it was success; null when nothing was said. */
function errorOf(
  { family }: Wire,
  streaming: boolean,
  { status, headers, body, trailers }: Raw,
): ConnectError | undefined | null {
  if (family === 'connect' && !streaming) {
    if (status === 200) return undefined;
    if (!headers.get('content-type')?.startsWith('application/json')) return null;
    return errorFromJson(
      JSON.parse(body.toString()) as JsonValue,
      undefined,
      new ConnectError('', Code.Unknown),
    );
  }
  if (family === 'connect') {
    const end = lastFrame(body, 2);
    return end ? endStreamFromJson(end).error : null;
  }
  const end = family === 'grpc-web' ? lastFrame(body, 0x80) : undefined;
  const said = [trailers, headers, end ? trailerParse(end) : new Headers()].find((each) =>
    each.has('grpc-status'),
  );
  return said ? findTrailerError(said) : null;
}

/** Makes the call, and waits for its answer to end. Rejects when there is none in time. */
export async function callOver(over: Wire, call: WireCall): Promise<WireAnswer> {
  const raw = await inTime(
    systemClock,
    ANSWER_WITHIN_MS,
    over.http === 1 ? overHttp1(over, call) : overHttp2(over, call),
    () => new Error(`no answer to ${call.path} by ${over.name}`),
  );
  const error = errorOf(over, call.streaming, raw);
  return {
    status: raw.status,
    code: error === null ? undefined : (error?.code ?? 0),
    reason: error?.findDetails(ErrorInfoSchema)[0]?.reason,
    bytes: raw.body.length,
  };
}
