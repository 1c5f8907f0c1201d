// The token of a call, out of its `authorization` header: exactly one, and of a size that can be one.
import type { Interceptor } from '@connectrpc/connect';
import { CarillonError } from './errors.ts';
import { limits } from './limits.ts';

const NAME = 'authorization';
const BEARER = /^bearer +([A-Za-z0-9._~+/=-]+) *$/i;

/** Throws UNAUTHENTICATED; what was sent is never said back. */
export function bearerToken(headers: { get(name: string): string | null }): string {
  const value = headers.get('authorization');
  if (!value)
    throw new CarillonError(
      'UNAUTHENTICATED',
      'The call does not say who it is from: send authorization: Bearer, and a token or an API key.',
    );
  const token = BEARER.exec(value)?.[1];
  // Two headers arrive joined by a comma, which no token holds.
  if (!token)
    throw new CarillonError('UNAUTHENTICATED', 'The authorization header is not Bearer and one token.');
  if (token.length > limits.tokenBytes)
    throw new CarillonError('UNAUTHENTICATED', `The token is longer than ${limits.tokenBytes} bytes.`);
  return token;
}

/**
 * Node keeps the first of several `authorization` headers and drops the others without a word, while a proxy before it may have
 * looked at the last. Joined, as headers that are lists are, they are no token. `raw`: names and values by turns.
 */
export function joinAuthorization(
  headers: { authorization?: string | undefined },
  raw: readonly string[],
): void {
  let count = 0;
  for (let at = 0; at < raw.length; at += 2)
    if (raw[at]?.length === NAME.length && raw[at]?.toLowerCase() === NAME && ++count > 1)
      headers.authorization = `${headers.authorization}, ${raw[at + 1]}`;
}

/** For a call with `token`. */
export const bearer = (token: string): { authorization: string } => ({ authorization: `Bearer ${token}` });

/** For Connect's transports: every call goes with the token that `token` gives then, unless it has one of its own. */
export function withBearer(token: () => string | Promise<string>): Interceptor {
  return (next) => async (request) => {
    if (!request.header.has('authorization')) request.header.set('authorization', `Bearer ${await token()}`);
    return next(request);
  };
}
