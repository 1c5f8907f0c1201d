// From the bytes of a request's body to the one message it must hold, at bounded cost whatever the bytes are.

import { gunzipSync } from 'node:zlib';
import { fromBinary, fromJsonString } from '@bufbuild/protobuf';
import { type SubscribeRequest, SubscribeRequestSchema } from '../../gen/carillon/v1/edge_pb.ts';
import { CarillonError } from '../../runtime/errors.ts';
import { limits } from '../../runtime/limits.ts';
import { ENVELOPE_BYTES, type Protocol } from './protocol.ts';

const COMPRESSED = 1;
const BASE64_GROWTH = 4 / 3;

/** A body longer than this cannot hold a message of the permitted size; it need not be read to its end. */
export const bodyBytes = Math.ceil((limits.edgeMessageBytes + ENVELOPE_BYTES) * BASE64_GROWTH) + 4;

const tooLarge = (): CarillonError =>
  new CarillonError('MESSAGE_TOO_LARGE', `The request is larger than ${limits.edgeMessageBytes} bytes.`);

const malformed = (what: string): CarillonError => new CarillonError('INVALID_REQUEST', what);

function inflated(message: Uint8Array, encoding: string | undefined): Uint8Array {
  if (encoding !== 'gzip') throw malformed('A compressed message came without the header that names how.');
  try {
    return gunzipSync(message, { maxOutputLength: limits.edgeMessageBytes });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge();
    throw malformed('The message is not gzip.');
  }
}

function messageOf(body: Uint8Array, encoding: string | undefined): Uint8Array {
  if (body.length < ENVELOPE_BYTES) throw malformed('The request holds no message.');
  const [flags = 0] = body;
  const length = new DataView(body.buffer, body.byteOffset, body.byteLength).getUint32(1);
  if (length > limits.edgeMessageBytes) throw tooLarge();
  if (body.length < ENVELOPE_BYTES + length) throw malformed('The message is cut short.');
  if (body.length > ENVELOPE_BYTES + length) throw malformed('The request holds more than one message.');
  if ((flags & ~COMPRESSED) !== 0) throw malformed('The envelope has flags that are not known.');
  const message = body.subarray(ENVELOPE_BYTES);
  return flags === COMPRESSED ? inflated(message, encoding) : message;
}

function decoded(message: Uint8Array, json: boolean): SubscribeRequest {
  try {
    if (json) {
      const text = new TextDecoder('utf-8', { fatal: true }).decode(message);
      return fromJsonString(SubscribeRequestSchema, text, { ignoreUnknownFields: true });
    }
    return fromBinary(SubscribeRequestSchema, message, { readUnknownFields: false });
  } catch {
    throw malformed('The bytes are no SubscribeRequest.');
  }
}

/** Checks what the headers claim before the body is looked at. Throws INVALID_REQUEST or UNSUPPORTED. */
function checkHeaders(protocol: Protocol, header: (name: string) => string | undefined): void {
  const encoding = header(protocol.encodingHeader);
  if (encoding !== undefined && encoding !== 'gzip' && encoding !== 'identity')
    throw new CarillonError('UNSUPPORTED', 'Requests may be compressed by gzip and by nothing else.');
  const version = protocol.family === 'connect' ? header('connect-protocol-version') : undefined;
  if (version !== undefined && version !== '1') throw malformed('connect-protocol-version must be 1.');
}

/**
 * The request in `body`; `body` undefined: it was longer than `bodyBytes`.
 * Throws CarillonError: INVALID_REQUEST, MESSAGE_TOO_LARGE, UNSUPPORTED.
 */
export function decodeSubscribe(
  protocol: Protocol,
  header: (name: string) => string | undefined,
  body: Uint8Array | undefined,
): SubscribeRequest {
  checkHeaders(protocol, header);
  if (body === undefined) throw tooLarge();
  const bytes = protocol.base64 ? Buffer.from(Buffer.from(body).toString('latin1'), 'base64') : body;
  return decoded(messageOf(bytes, header(protocol.encodingHeader)), protocol.json);
}

const UNITS_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};
/** What a timer can hold; longer than any connection lives. */
const LONGEST_MS = 2 ** 31 - 1;

/** Milliseconds the client gives the stream to live; undefined when it does not say. Throws INVALID_REQUEST. */
export function deadlineMs(
  { timeoutHeader }: Protocol,
  header: (name: string) => string | undefined,
): number | undefined {
  const text = header(timeoutHeader);
  if (text === undefined) return undefined;
  const connect = timeoutHeader === 'connect-timeout-ms';
  const match = (connect ? /^(\d{1,10})$/ : /^(\d{1,8})([HMSmun])$/).exec(text);
  if (!match) throw malformed(`${timeoutHeader} is not a time-out.`);
  const ms = Number(match[1]) * (connect ? 1 : (UNITS_MS[match[2] ?? ''] ?? 1));
  return ms > LONGEST_MS ? undefined : Math.ceil(ms);
}
