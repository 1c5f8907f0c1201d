// What a call failed with, and what helps: waiting, another token, another cursor, or nothing.
import { durationMs } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import { ErrorInfoSchema, RetryInfoSchema } from '../gen/google/rpc/error_details_pb.ts';

export type Remedy = 'wait' | 'token' | 'cursor' | 'none';

export interface Failure {
  readonly remedy: Remedy;
  /** Of the mesh, such as TOO_MANY_STREAMS; or ours: SILENT, ENDED, UNREACHABLE, NO_TOKEN, OTHER_USER. */
  readonly reason: string;
  readonly message: string;
  /** The edge asks to stay away for so long. */
  readonly retryAfterMs?: number;
}

const remedies: Record<string, Remedy> = {
  CURSOR_MALFORMED: 'cursor',
  CURSOR_AHEAD: 'cursor',
  INVALID_REQUEST: 'none',
  UNSUPPORTED: 'none',
};

const TOKEN_CODES: readonly Code[] = [Code.Unauthenticated, Code.PermissionDenied];

/** Any error of a call; what nobody of the mesh said is UNREACHABLE. */
export function failureOf(thrown: unknown): Failure {
  const error = ConnectError.from(thrown);
  const info = error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === 'carillon');
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  const remedy = remedies[info?.reason ?? ''] ?? (TOKEN_CODES.includes(error.code) ? 'token' : 'wait');
  return {
    remedy,
    reason: info?.reason ?? (remedy === 'token' ? 'UNAUTHENTICATED' : 'UNREACHABLE'),
    message: error.rawMessage,
    ...(delay && { retryAfterMs: durationMs(delay) }),
  };
}

/** What the app gets: a failure that somebody can catch. */
export class ClientError extends Error {
  override readonly name = 'ClientError';
  readonly failure: Failure;

  constructor(failure: Failure, options?: { cause?: unknown }) {
    super(failure.message, options);
    this.failure = failure;
  }

  /** Such as TOO_MANY_STREAMS; see docs of `Failure`. */
  get reason(): string {
    return this.failure.reason;
  }
}

/** The same of what our own code may have thrown. */
export const failureIn = (error: unknown): Failure =>
  error instanceof ClientError ? error.failure : failureOf(error);
