// What a user's fields must hold beyond the schema: an address that can be written to, a language and a time zone that exist.
import type { User } from '../gen/carillon/v1/admin_pb.ts';
import { CarillonError, type FieldViolation } from '../runtime/errors.ts';

// What mail servers take in practice; quoted local parts and address literals are left out on purpose.
const EMAIL = /^[^\s@<>()[\]\\,;:"\p{Cc}]+@[^\s@<>()[\]\\,;:"\p{Cc}]+\.[^\s@<>()[\]\\,;:"\p{Cc}.]+$/u;

function isLocale(tag: string): boolean {
  try {
    return Intl.getCanonicalLocales(tag).length === 1;
  } catch {
    return false;
  }
}

function isTimezone(name: string): boolean {
  // An offset such as +01:00 is taken by Intl, and knows nothing of summer time.
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** Returns the user; throws INVALID_REQUEST with a violation for each field that cannot be. Empty fields are fine. */
export function checkedUser(user: User | undefined): User {
  if (!user) throw new CarillonError('INVALID_REQUEST', 'user is required.');
  const violations: FieldViolation[] = [];
  const check = (field: keyof User & string, ok: boolean, description: string) => {
    if (user[field] !== '' && !ok) violations.push({ field: `user.${field}`, description });
  };
  check('id', !user.id.includes('\0'), 'must not hold a zero character');
  check('email', EMAIL.test(user.email), 'must be a mail address such as ada@example.com');
  check('locale', isLocale(user.locale), 'must be a BCP 47 tag such as de-CH');
  check('timezone', isTimezone(user.timezone), 'must be an IANA time zone such as Europe/Zurich');
  if (violations.length > 0) {
    const said = violations.map(({ field, description }) => `${field} ${description}`).join('; ');
    throw new CarillonError('INVALID_REQUEST', `${said}.`, { violations });
  }
  return user;
}
