// What makes a mesh on loopback one: its name, and the secret it signs its users' tokens with, which its first process makes.
import { randomBytes } from 'node:crypto';
import type { Queryable } from './database.ts';

const SECRET_BYTES = 48;

/** The same for every process of the mesh. */
export async function localSecret(db: Queryable): Promise<Uint8Array> {
  const { rows } = await db.query<{ local_secret: Buffer }>({
    name: 'mesh-local-secret',
    text: `update mesh set local_secret = coalesce(local_secret, $1) returning local_secret`,
    values: [randomBytes(SECRET_BYTES)],
  });
  const secret = rows[0]?.local_secret;
  if (!secret) throw new Error('the mesh table is empty');
  return secret;
}

/** Names the mesh on this machine: the same for all processes over one database, another one for a copy of it. */
export async function meshName(db: Queryable): Promise<string> {
  const { rows } = await db.query<{ name: string }>({
    name: 'mesh-name',
    text: `select epoch || '-' || (select oid from pg_database where datname = current_database()) as name from mesh`,
  });
  return rows[0]?.name ?? '';
}
