// Connect answers by itself what it cannot parse or take, before any interceptor: such an answer gets its reason here.
import { gunzipSync } from 'node:zlib';
import type { JsonValue } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { encodeEnvelope, type UniversalServerResponse } from '@connectrpc/connect/protocol';
import {
  codeToHttpStatus,
  endStreamFlag,
  endStreamFromJson,
  endStreamToJson,
  errorFromJson,
  errorToJsonBytes,
} from '@connectrpc/connect/protocol-connect';
import { findTrailerError, setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import { trailerFlag, trailerParse, trailerSerialize } from '@connectrpc/connect/protocol-grpc-web';
import { toConnectError } from './wire-errors.ts';

const COMPRESSED = 1;
const ENVELOPE_BYTES = 5;

/** The error with its reason; undefined when it has one, or is none. It loses what it quotes of a long request. */
const explained = (error: ConnectError | undefined): ConnectError | undefined =>
  error === undefined || error.details.length > 0 ? undefined : toConnectError(error);

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Connect, unary: the body is the error, as JSON. */
async function ofUnary(response: UniversalServerResponse): Promise<UniversalServerResponse> {
  const { body, header } = response;
  if (!body || header?.get('content-type') !== 'application/json') return response;
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part);
  const bytes = Buffer.concat(parts);
  const json = header.get('content-encoding') === 'gzip' ? gunzipSync(bytes) : bytes;
  const unknown = new ConnectError('', Code.Unknown);
  const error = explained(errorFromJson(JSON.parse(json.toString()) as JsonValue, undefined, unknown));
  if (!error) return { ...response, body: only(bytes) };
  const answer = errorToJsonBytes(error, undefined);
  header.delete('content-encoding');
  header.set('content-length', String(answer.byteLength));
  return { ...response, status: codeToHttpStatus(error.code), body: only(answer) };
}

/** The last frame of a Connect stream. */
function connectEnd(frame: Uint8Array): Uint8Array | undefined {
  const { error, metadata } = endStreamFromJson(frame);
  const better = explained(error);
  return better && Buffer.from(JSON.stringify(endStreamToJson(metadata, better, undefined)));
}

function explainTrailer(trailer: Headers): boolean {
  const error = explained(findTrailerError(trailer));
  if (error) setTrailerStatus(trailer, error);
  return error !== undefined;
}

/** The last frame of gRPC-Web. */
function webEnd(frame: Uint8Array): Uint8Array | undefined {
  const trailer = trailerParse(frame);
  return explainTrailer(trailer) ? trailerSerialize(trailer) : undefined;
}

/** Connect hands on one frame at a time. `end` gets the last one's content, and answers what stands there instead. */
async function* frames(
  body: AsyncIterable<Uint8Array>,
  flag: number,
  end: (content: Uint8Array) => Uint8Array | undefined,
): AsyncGenerator<Uint8Array> {
  for await (const frame of body) {
    const flags = frame[0] ?? 0;
    if ((flags & flag) === 0) yield frame;
    else {
      const content = frame.subarray(ENVELOPE_BYTES);
      const better = end((flags & COMPRESSED) === 0 ? content : gunzipSync(content));
      yield better ? encodeEnvelope(flag, better) : frame;
    }
  }
}

async function* beforeTrailer(body: AsyncIterable<Uint8Array>, trailer: Headers): AsyncGenerator<Uint8Array> {
  yield* body;
  explainTrailer(trailer);
}

/** The answer with a reason in its error, whatever the protocol; answers that have one, or are no errors, as they are. */
export async function withReason(response: UniversalServerResponse): Promise<UniversalServerResponse> {
  const { status, body, header, trailer } = response;
  if (status >= 400) return ofUnary(response);
  const type = header?.get('content-type') ?? '';
  if (!body) return response;
  if (type.startsWith('application/connect+'))
    return { ...response, body: frames(body, endStreamFlag, connectEnd) };
  if (type.startsWith('application/grpc-web'))
    return { ...response, body: frames(body, trailerFlag, webEnd) };
  if (type.startsWith('application/grpc') && trailer)
    return { ...response, body: beforeTrailer(body, trailer) };
  return response;
}
