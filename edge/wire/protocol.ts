// The ways a client may speak Subscribe, told apart by content type: how a message is framed and how a stream ends.
import { fromBinary, toJsonString } from '@bufbuild/protobuf';
import { endStreamFlag, endStreamToJson } from '@connectrpc/connect/protocol-connect';
import { setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import { trailerFlag, trailerSerialize } from '@connectrpc/connect/protocol-grpc-web';
import { SubscribeResponseSchema } from '../../gen/carillon/v1/edge_pb.ts';
import type { CarillonError } from '../../runtime/errors.ts';
import { toConnectError } from '../../runtime/wire-errors.ts';

type Family = 'connect' | 'grpc' | 'grpc-web';

export interface Protocol {
  readonly family: Family;
  /** Of the request and of the response. */
  readonly contentType: string;
  /** Messages are JSON on the wire; the bytes of `send` are decoded and written again. Slow. */
  readonly json: boolean;
  /** gRPC-Web for clients that cannot read bytes: every write is base64 of its own. */
  readonly base64: boolean;
  readonly encodingHeader: 'connect-content-encoding' | 'grpc-encoding';
  readonly timeoutHeader: 'connect-timeout-ms' | 'grpc-timeout';
  /** Says which compressions a request may use; responses are never compressed. */
  readonly acceptHeader: 'connect-accept-encoding' | 'grpc-accept-encoding';
}

export const ENVELOPE_BYTES = 5;

const FAMILIES: readonly (readonly [Family, string])[] = [
  ['connect', 'application/connect'],
  ['grpc', 'application/grpc'],
  ['grpc-web', 'application/grpc-web'],
  ['grpc-web', 'application/grpc-web-text'],
];

function make(family: Family, base: string, suffix: string): Protocol {
  const connect = family === 'connect';
  return {
    family,
    contentType: base + suffix,
    json: suffix === '+json',
    base64: base.endsWith('-text'),
    encodingHeader: connect ? 'connect-content-encoding' : 'grpc-encoding',
    timeoutHeader: connect ? 'connect-timeout-ms' : 'grpc-timeout',
    acceptHeader: connect ? 'connect-accept-encoding' : 'grpc-accept-encoding',
  };
}

const protocols = new Map<string, Protocol>();
for (const [family, base] of FAMILIES) {
  for (const suffix of ['+proto', '+json']) protocols.set(base + suffix, make(family, base, suffix));
  if (family !== 'connect') protocols.set(base, make(family, base, ''));
}

/** For `Accept-Post`. */
export const contentTypes: readonly string[] = [...protocols.keys()];

/** The protocol of a request; undefined when its content type is none of ours. Parameters such as a charset are passed over. */
export function protocolOf(contentType: string | undefined): Protocol | undefined {
  if (contentType === undefined) return undefined;
  const exact = protocols.get(contentType);
  if (exact) return exact;
  const [essence = ''] = contentType.split(';', 1);
  return protocols.get(essence.trim().toLowerCase());
}

/** The message as JSON, for a stream whose client asked for it. */
export function jsonMessage(head: Uint8Array, tail: Uint8Array | undefined): Uint8Array {
  const bytes = tail === undefined ? head : Buffer.concat([head, tail]);
  return Buffer.from(toJsonString(SubscribeResponseSchema, fromBinary(SubscribeResponseSchema, bytes)));
}

function envelope(flags: number, message: Uint8Array): Uint8Array {
  const framed = Buffer.allocUnsafe(ENVELOPE_BYTES + message.length);
  framed[0] = flags;
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, ENVELOPE_BYTES);
  return framed;
}

/** How a stream ends: a last frame of the body (Connect, gRPC-Web), or trailers of HTTP (gRPC). */
export interface StreamEnd {
  readonly frame: Uint8Array | undefined;
  readonly trailers: Headers | undefined;
}

export function streamEnd({ family }: Protocol, error: CarillonError | undefined): StreamEnd {
  const wire = error && toConnectError(error);
  if (family === 'connect') {
    const json = JSON.stringify(endStreamToJson(new Headers(), wire, undefined));
    return { frame: envelope(endStreamFlag, Buffer.from(json)), trailers: undefined };
  }
  const trailers = setTrailerStatus(new Headers(), wire);
  if (family === 'grpc') return { frame: undefined, trailers };
  return { frame: envelope(trailerFlag, trailerSerialize(trailers)), trailers: undefined };
}
