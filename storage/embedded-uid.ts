// Chooses whose process the embedded PostgreSQL is: ours, or as root (which PostgreSQL refuses) an account that exists already.
import { readFile, stat } from 'node:fs/promises';
import { CarillonError } from '../runtime/errors.ts';

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

async function passwd(): Promise<{ name: string; uid: number; gid: number }[]> {
  const text = await readFile('/etc/passwd', 'utf8').catch(() => '');
  return text
    .split('\n')
    .map((line) => line.split(':'))
    .filter((fields) => fields.length >= 4)
    .map(([name = '', , uid, gid]) => ({ name, uid: Number(uid), gid: Number(gid) }));
}

/**
 * The account the server runs as; undefined means our own. As root it is the owner of the data that is there already,
 * else `postgres`, else `nobody`: initdb needs an entry in the password file, and no account is ever made.
 */
export async function serverAccount(pgdata: string): Promise<Account | undefined> {
  const ours = process.getuid?.();
  const owner = await stat(pgdata).catch(() => undefined);
  if (ours !== 0) {
    if (owner && owner.uid !== ours) {
      throw new CarillonError(
        'EMBEDDED_POSTGRES_UNAVAILABLE',
        `The data in ${pgdata} belongs to the user id ${owner.uid}, and this process has ${ours}: run as that user, or choose another data directory.`,
      );
    }
    return undefined;
  }
  if (owner && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  const accounts = await passwd();
  const found = ['postgres', 'nobody']
    .map((name) => accounts.find((entry) => entry.name === name))
    .find(Boolean);
  if (found) return { uid: found.uid, gid: found.gid };
  throw new CarillonError(
    'EMBEDDED_POSTGRES_UNAVAILABLE',
    'PostgreSQL does not run as root, and this machine has neither a user postgres nor a user nobody: run as an ordinary user, or set CARILLON_POSTGRES_URL.',
  );
}
