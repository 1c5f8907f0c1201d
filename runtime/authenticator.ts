// Turns what a call brings along into who it is from; every port asks here, and nobody else reads tokens.
import type { Principal } from './identity.ts';

/** Of a request, whatever it came over. */
export interface CallHeaders {
  get(name: string): string | null;
}

export interface Authenticator extends AsyncDisposable {
  /**
   * Reads `authorization: Bearer …`. Answers at once from its cache, else when the token was checked. Throws or rejects with
   * UNAUTHENTICATED, TOKEN_EXPIRED, TOKEN_REVOKED; CREDENTIALS_UNAVAILABLE when the keys to check it with cannot be had.
   */
  authenticate(headers: CallHeaders): Principal | Promise<Principal>;
  /** Milliseconds since the epoch by the clock that tokens are judged by: the database's, not this machine's. */
  nowMs(): number;
}

/** For an edge, whose callers are users with devices. */
export interface UserAuthenticator extends Authenticator {
  /**
   * A user's call says that it is from this device. Throws PERMISSION_DENIED when the token is bound to another one, and
   * TOKEN_REVOKED when the tokens of this one were revoked after it was issued. Empty: nothing is said.
   */
  checkDevice(principal: Principal, deviceId: string): void;
}
