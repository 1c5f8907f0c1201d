// Who calls: a tenant's user, a tenant's backend, or another process of the mesh. Handlers take it from here and from nowhere else.
import { type ContextKey, createContextKey, type HandlerContext } from '@connectrpc/connect';
import { CarillonError } from './errors.ts';

/** A user of a tenant. */
export interface Identity {
  readonly tenant: string;
  readonly userId: string;
}

export interface Principal extends Identity {
  readonly tenant: string;
  /** `peer`: another process of the mesh, on a link. */
  readonly kind: 'user' | 'backend' | 'peer';
  /** Empty unless it is a user. */
  readonly userId: string;
  /** The device that a user's token is bound to; empty: any. */
  readonly deviceId: string;
  /** Of a backend, such as `notifications:send` or `admin:*`; see `permits` in access.ts. */
  readonly scopes: readonly string[];
  /** By the issuer's clock, milliseconds since the epoch; 0 when the token does not say. */
  readonly issuedMs: number;
  /** The first moment at which it is no longer good, by `Authenticator.nowMs()`; undefined: never. */
  readonly expiresMs: number | undefined;
  /** SHA-256 of the token, base64url: what may be written where a token may not. */
  readonly tokenHash: string;
}

export const DEFAULT_TENANT = 'default';

/** Where the guard of a mount leaves it. */
export const principalKey: ContextKey<Principal | undefined> = createContextKey<Principal | undefined>(
  undefined,
  { description: 'who calls' },
);

/** Who calls this method. Throws UNAUTHENTICATED where no guard stood before the handler. */
export function principalOf({ values }: Pick<HandlerContext, 'values'>): Principal {
  const principal = values.get(principalKey);
  if (!principal) throw new CarillonError('UNAUTHENTICATED');
  return principal;
}

export const USER_HEADER = 'x-carillon-user';
const USER_BYTES = 256;
/** What percent-encoding leaves. Raw bytes would be read as another user's, and a comma is how two headers are joined. */
const ENCODED = /^[!-+\--~]+$/;

/** The value of USER_HEADER for a user: headers are ASCII, ids are not, so it is percent-encoded UTF-8. */
export const userHeader = (userId: string): string => encodeURIComponent(userId);

/** UNAUTHENTICATED when the header is missing or names nobody. */
export function identityOf(headers: { get(name: string): string | null }): Identity {
  const text = headers.get(USER_HEADER);
  if (!text) throw new CarillonError('UNAUTHENTICATED', `The header ${USER_HEADER} is missing.`);
  if (!ENCODED.test(text))
    throw new CarillonError('UNAUTHENTICATED', `The header ${USER_HEADER} is not percent-encoded UTF-8.`);
  let userId: string;
  try {
    userId = decodeURIComponent(text);
  } catch {
    throw new CarillonError('UNAUTHENTICATED', `The header ${USER_HEADER} is not percent-encoded UTF-8.`);
  }
  if (Buffer.byteLength(userId) > USER_BYTES || userId.includes('\0'))
    throw new CarillonError('UNAUTHENTICATED', `The header ${USER_HEADER} names no user.`);
  return { tenant: DEFAULT_TENANT, userId };
}

/** The tenant of a backend's call. */
export const callerOf = (_headers: { get(name: string): string | null }): { tenant: string } => ({
  tenant: DEFAULT_TENANT,
});
