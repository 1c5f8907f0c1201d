// grpc-js answers some things by itself (too large, cannot be unpacked, no such method), below every interceptor: its streams add the reason.
import type { OutgoingHttpHeaders, ServerHttp2Stream, ServerStreamResponseOptions } from 'node:http2';
import grpc from '@grpc/grpc-js';
import { CarillonError, type ReasonName } from './errors.ts';
import { toGrpcStatus } from './wire-errors.ts';

const STATUS = 'grpc-status';
const MESSAGE = 'grpc-message';
const DETAILS = 'grpc-status-details-bin';

const reasons: Partial<Record<grpc.status, ReasonName>> = {
  [grpc.status.RESOURCE_EXHAUSTED]: 'MESSAGE_TOO_LARGE',
  [grpc.status.INTERNAL]: 'INVALID_REQUEST',
  [grpc.status.UNIMPLEMENTED]: 'UNSUPPORTED',
  [grpc.status.DEADLINE_EXCEEDED]: 'DEADLINE_EXCEEDED',
};
/** What it says, as UNIMPLEMENTED, of a call that ended without a whole message. */
const NO_MESSAGE = /request message|no request|half-close/i;

/** Headers or trailers with a status of grpc-js's own, with the reason; all others as they are. */
function explained<H extends OutgoingHttpHeaders | undefined>(headers: H): H {
  const status: grpc.status = Number(headers?.[STATUS] ?? 0);
  if (status === grpc.status.OK || headers?.[DETAILS] !== undefined) return headers;
  const said = decodeURI(String(headers?.[MESSAGE] ?? ''));
  const reason = NO_MESSAGE.test(said) ? 'INVALID_REQUEST' : reasons[status];
  if (!reason) return headers;
  const { code, details, metadata } = toGrpcStatus(new CarillonError(reason, said || undefined));
  return { ...headers, ...metadata.toHttp2Headers(), [STATUS]: code, [MESSAGE]: encodeURI(details) };
}

interface Answering {
  respond(headers?: OutgoingHttpHeaders, options?: ServerStreamResponseOptions): void;
  sendTrailers(trailers: OutgoingHttpHeaders): void;
}

// One pair for all streams: a closure for each call would cost more than the look.
function respond(
  this: ServerHttp2Stream,
  headers?: OutgoingHttpHeaders,
  options?: ServerStreamResponseOptions,
): void {
  (Object.getPrototypeOf(this) as Answering).respond.call(this, explained(headers), options);
}
function sendTrailers(this: ServerHttp2Stream, trailers: OutgoingHttpHeaders): void {
  (Object.getPrototypeOf(this) as Answering).sendTrailers.call(this, explained(trailers));
}

/** Lets what grpc-js says on this stream carry a reason. */
export function explain(stream: ServerHttp2Stream): void {
  stream.respond = respond;
  stream.sendTrailers = sendTrailers;
}
