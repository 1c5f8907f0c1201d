// Who calls. Until tokens come the caller of an edge names its user in a header, which is why every listener stays on loopback.
import { CarillonError } from './errors.ts';

export interface Identity {
  tenant: string;
  userId: string;
}

export const USER_HEADER = 'x-carillon-user';
export const DEFAULT_TENANT = 'default';
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
