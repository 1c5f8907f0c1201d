// What went wrong, said the same on every wire: a status, a reason (`google.rpc.ErrorInfo`), when to try again, which fields.
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { anyPack, anyUnpack } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import grpc from '@grpc/grpc-js';
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from '../gen/google/rpc/error_details_pb.ts';
import { StatusSchema } from '../gen/google/rpc/status_pb.ts';
import { CarillonError, type ReasonName, reasons } from './errors.ts';
import { limits } from './limits.ts';
import type { Log } from './log.ts';

const DOMAIN = 'carillon';
const DETAILS = 'grpc-status-details-bin';

/** What a library said before a handler of ours was reached, by its status. */
const libraryReasons: Partial<Record<Code, ReasonName>> = {
  [Code.InvalidArgument]: 'INVALID_REQUEST',
  [Code.ResourceExhausted]: 'MESSAGE_TOO_LARGE',
  [Code.DeadlineExceeded]: 'DEADLINE_EXCEEDED',
  [Code.Unimplemented]: 'UNSUPPORTED',
  [Code.Unavailable]: 'SHUTTING_DOWN',
};

/** What a stream says when its other end went away. */
const GONE = new Set(['ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET', 'EPIPE', 'ABORT_ERR']);

/** An `AbortSignal` that aborts without a reason throws a DOMException, whose code is a number. */
const isGone = (error: unknown): boolean =>
  error instanceof Error &&
  (error.name === 'AbortError' || ('code' in error && GONE.has(String(error.code))));

/**
 * Any error as one of ours. What is not ours already becomes INTERNAL; its cause goes to the log, never to the wire.
 * A caller that went away (CANCELLED) is not an error of anybody: undefined.
 */
export function ownError(error: unknown, log: Log | undefined): CarillonError | undefined {
  if (error instanceof CarillonError) {
    if (error.cause !== undefined && error.reason === 'INTERNAL')
      log?.error({ err: error.cause }, 'a call failed');
    return error;
  }
  if (error instanceof ConnectError) {
    if (error.code === Code.Canceled) return undefined;
    // protobuf-es speaks through Connect as `parse binary: …`, with the status of a server's own fault.
    const malformed = error.code === Code.Internal && error.rawMessage.startsWith('parse binary');
    const reason = malformed ? 'INVALID_REQUEST' : libraryReasons[error.code];
    if (reason) return new CarillonError(reason, error.rawMessage);
  }
  if (isGone(error)) return undefined;
  log?.error({ err: error }, 'a call failed');
  return new CarillonError('INTERNAL');
}

/** The sentence in a form that every header takes: well-formed, one line, bounded. */
const sentence = (text: string): string =>
  text
    .slice(0, limits.errorSentenceChars)
    .toWellFormed()
    // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must not reach a header.
    .replaceAll(/[\u0000-\u001f\u007f]+/g, ' ');

type Detail<D extends DescMessage = DescMessage> = { desc: D; value: MessageInitShape<D> };
const detail = <D extends DescMessage>(desc: D, value: MessageInitShape<D>): Detail =>
  ({ desc, value }) as Detail;

function durationOf(ms: number): { seconds: bigint; nanos: number } {
  return { seconds: BigInt(Math.floor(ms / 1_000)), nanos: Math.round(ms % 1_000) * 1_000_000 };
}

function detailsOf(error: CarillonError): Detail[] {
  const details = [detail(ErrorInfoSchema, { reason: error.reason, domain: DOMAIN })];
  if (error.retryAfterMs !== undefined)
    details.push(detail(RetryInfoSchema, { retryDelay: durationOf(error.retryAfterMs) }));
  if (error.violations.length > 0) {
    const fieldViolations = error.violations
      .slice(0, limits.errorViolationsCount)
      .map(({ field, description }) => ({ field: sentence(field), description: sentence(description) }));
    details.push(detail(BadRequestSchema, { fieldViolations }));
  }
  return details;
}

/** For Connect and gRPC-Web. */
export function toConnectError(error: unknown, log?: Log): ConnectError {
  const own = ownError(error, log);
  if (!own) return ConnectError.from(error, Code.Canceled);
  return new ConnectError(sentence(own.message), own.code, undefined, detailsOf(own), own);
}

export interface GrpcStatus {
  code: grpc.status;
  details: string;
  metadata: grpc.Metadata;
}

/** For grpc-js: the details travel in `grpc-status-details-bin`. */
export function toGrpcStatus(error: unknown, log?: Log): GrpcStatus {
  const own = ownError(error, log);
  const metadata = new grpc.Metadata();
  if (!own) return { code: grpc.status.CANCELLED, details: 'The caller went away.', metadata };
  const message = sentence(own.message);
  const details = detailsOf(own).map(({ desc, value }) => anyPack(desc, create(desc, value)));
  const status = create(StatusSchema, { code: own.code, message, details });
  metadata.set(DETAILS, Buffer.from(toBinary(StatusSchema, status)));
  return { code: own.code as number, details: message, metadata };
}

export function wireMetadata(headers: Readonly<Record<string, string>> = {}): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return metadata;
}

interface Found {
  reason: string;
  retryAfterMs: number | undefined;
  violations: { field: string; description: string }[];
}

function foundIn(error: ConnectError): Found | undefined {
  const info = error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === DOMAIN);
  if (!info) return undefined;
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return {
    reason: info.reason,
    retryAfterMs: delay && Number(delay.seconds) * 1_000 + delay.nanos / 1_000_000,
    violations: error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations),
  };
}

function fromGrpc(error: grpc.ServiceError): ConnectError {
  const made = new ConnectError(error.details, error.code as number);
  const bytes = error.metadata?.get(DETAILS)[0];
  if (bytes === undefined || typeof bytes === 'string') return made;
  try {
    for (const any of fromBinary(StatusSchema, bytes, { readUnknownFields: false }).details)
      for (const desc of [ErrorInfoSchema, RetryInfoSchema, BadRequestSchema] as DescMessage[]) {
        const value = anyUnpack(any, desc);
        if (value) made.details.push({ desc, value });
      }
  } catch {
    // Details of somebody else, or damaged: the status alone has to do.
  }
  return made;
}

const isServiceError = (error: unknown): error is grpc.ServiceError =>
  error instanceof Error && 'code' in error && 'details' in error && typeof error.details === 'string';

/** The reason for a status that came without one, as when nobody listens or a proxy answered. */
function reasonOf(code: Code): ReasonName {
  // Aborted: the connection was reset in the middle; nothing of ours says that.
  if (code === Code.Unavailable || code === Code.Aborted) return 'UNREACHABLE';
  if (code === Code.Unauthenticated) return 'UNAUTHENTICATED';
  return libraryReasons[code] ?? 'INTERNAL';
}

/** For our own clients: what a call failed with, as the CarillonError that the server threw. Others stay INTERNAL. */
export function carillonError(error: unknown): CarillonError {
  if (error instanceof CarillonError) return error;
  // What an interceptor of a client threw, wrapped by Connect.
  if (error instanceof ConnectError && error.cause instanceof CarillonError) return error.cause;
  const wire = isServiceError(error) ? fromGrpc(error) : ConnectError.from(error);
  const found = foundIn(wire);
  if (!found || !(found.reason in reasons))
    return new CarillonError(reasonOf(wire.code), wire.rawMessage || undefined, { cause: error });
  return new CarillonError(found.reason as ReasonName, wire.rawMessage, { cause: error, ...found });
}
