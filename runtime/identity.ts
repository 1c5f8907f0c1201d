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
  /** The device that a user's token is bound to; empty: it is good for all. */
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
