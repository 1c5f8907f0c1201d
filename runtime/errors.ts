// The one error class, and the closed table of reasons: each has its wire code, whether a retry helps, and one human sentence.
import { Code } from '@connectrpc/connect';

/** `never`: the same call fails again. `backoff`: try later, after `retryAfterMs` when given. */
export type RetryClass = 'never' | 'backoff';

interface Reason {
  code: Code;
  retry: RetryClass;
  /** What is said when the thrower adds nothing of its own. */
  sentence: string;
}

const never = (code: Code, sentence: string): Reason => ({ code, retry: 'never', sentence });
const backoff = (code: Code, sentence: string): Reason => ({ code, retry: 'backoff', sentence });

export const reasons = {
  // ingest
  INVALID_REQUEST: never(Code.InvalidArgument, 'The request breaks a rule of the schema.'),
  IDEMPOTENCY_KEY_REUSED: never(Code.AlreadyExists, 'This idempotency key was used for another request.'),
  NOTIFICATION_NOT_FOUND: never(Code.NotFound, 'There is no notification with this id.'),
  DELIVERY_NOT_FOUND: never(Code.NotFound, 'This user is not a recipient of this notification.'),
  USER_NOT_FOUND: never(Code.NotFound, 'There is no user with this id.'),
  CATEGORY_NOT_FOUND: never(Code.NotFound, 'There is no category with this id.'),
  TOO_MANY_CATEGORIES: never(Code.ResourceExhausted, 'This tenant has as many categories as it may have.'),
  OVERLOADED: backoff(Code.ResourceExhausted, 'More is waiting than the mesh takes in; try again later.'),
  // who it is
  UNAUTHENTICATED: never(Code.Unauthenticated, 'The call does not say who it is from.'),
  TOKEN_EXPIRED: never(Code.Unauthenticated, 'The token has expired; call with a new one.'),
  TOKEN_REVOKED: never(Code.Unauthenticated, 'The token or key was revoked.'),
  PERMISSION_DENIED: never(Code.PermissionDenied, 'The caller may not do this.'),
  CREDENTIALS_UNAVAILABLE: backoff(
    Code.Unavailable,
    'The keys that tokens are checked with cannot be had now.',
  ),
  SIGNING_UNAVAILABLE: never(Code.FailedPrecondition, 'This mesh has no secret to sign tokens with.'),
  LIMIT_REACHED: never(Code.ResourceExhausted, 'There are as many of these as the mesh keeps.'),
  API_KEY_NOT_FOUND: never(Code.NotFound, 'There is no API key with this id.'),
  // providers
  PROVIDER_NOT_FOUND: never(Code.NotFound, 'This tenant has configured no provider of this name.'),
  PROVIDER_REFUSED: never(Code.FailedPrecondition, 'The provider did not take the message.'),
  MASTER_KEY_MISSING: never(
    Code.FailedPrecondition,
    'This mesh has no master key to seal secrets with: set CARILLON_MASTER_KEY to 32 random bytes in base64, the same for ingest and providers; openssl rand -base64 32 makes them.',
  ),
  SECRETS_UNREADABLE: never(
    Code.FailedPrecondition,
    'What was sealed cannot be opened: it was sealed under another key, or for something else.',
  ),
  // edge
  CURSOR_MALFORMED: never(Code.InvalidArgument, 'The cursor is not one that Carillon gave out.'),
  CURSOR_AHEAD: never(Code.OutOfRange, 'The cursor points past the newest item; subscribe without a cursor.'),
  SESSION_UNKNOWN: never(Code.NotFound, 'The user has no such session; it may have ended.'),
  EDGE_REPLACED: never(Code.FailedPrecondition, 'Another process has this address now.'),
  EDGE_UNREACHABLE: backoff(Code.Unavailable, 'The edge that holds this session does not answer.'),
  TOO_MANY_ATTEMPTS: backoff(
    Code.ResourceExhausted,
    'Too many calls with tokens that are none came from this address.',
  ),
  MESSAGE_TOO_LARGE: never(Code.ResourceExhausted, 'The message is larger than this method takes.'),
  TOO_MANY_STREAMS: backoff(Code.ResourceExhausted, 'Too many streams are open; reconnect after the delay.'),
  // receipts
  RECEIPT_FORGED: never(
    Code.PermissionDenied,
    'This call does not bear the signature of its provider, or is too old.',
  ),
  // everywhere
  STORE_UNAVAILABLE: backoff(Code.Unavailable, 'The database does not answer; nothing was stored.'),
  SHUTTING_DOWN: backoff(Code.Unavailable, 'This process is shutting down; reconnect.'),
  UNSUPPORTED: never(Code.Unimplemented, 'This is not something the mesh can do.'),
  DEADLINE_EXCEEDED: backoff(Code.DeadlineExceeded, 'The deadline of the call has passed.'),
  SERVICE_UNKNOWN: never(Code.NotFound, 'This port serves no such service.'),
  UNREACHABLE: backoff(Code.Unavailable, 'The server does not answer.'),
  INTERNAL: backoff(Code.Internal, 'Something unexpected happened; the log has the cause.'),
  // set-up
  CONFIG_INVALID: never(Code.FailedPrecondition, 'The configuration cannot be used.'),
  USAGE: never(Code.InvalidArgument, 'The command was not understood.'),
  PORT_IN_USE: never(Code.FailedPrecondition, 'Another process listens on this port.'),
  MIGRATION_MISMATCH: never(Code.FailedPrecondition, 'A migration that has run was changed afterwards.'),
  EMBEDDED_POSTGRES_HELD: never(Code.FailedPrecondition, 'Another process holds this data directory.'),
  EMBEDDED_POSTGRES_UNAVAILABLE: never(Code.Unavailable, 'The embedded PostgreSQL cannot be started.'),
  STACK_UNAVAILABLE: never(Code.Unavailable, 'A service of the stack cannot be started.'),
  LOG_UNAVAILABLE: backoff(Code.Unavailable, 'The event log does not answer.'),
  CLUSTER_UNAVAILABLE: backoff(Code.Unavailable, 'The cluster store does not answer.'),
} as const satisfies Record<string, Reason>;

export type ReasonName = keyof typeof reasons;

export interface FieldViolation {
  /** Path in the request, such as `notification.content.title`. */
  field: string;
  description: string;
}

export class CarillonError extends Error {
  override readonly name = 'CarillonError';
  readonly reason: ReasonName;
  /** Milliseconds after which the same call may work. */
  readonly retryAfterMs: number | undefined;
  readonly violations: readonly FieldViolation[];

  constructor(
    reason: ReasonName,
    message?: string,
    options: { cause?: unknown; retryAfterMs?: number; violations?: readonly FieldViolation[] } = {},
  ) {
    super(
      message ?? reasons[reason].sentence,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs;
    this.violations = options.violations ?? [];
  }

  get code(): Code {
    return reasons[this.reason].code;
  }

  get retry(): RetryClass {
    return reasons[this.reason].retry;
  }
}
