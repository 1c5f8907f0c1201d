// The secret that a mesh on loopback signs its users' tokens with, made by whichever of its processes starts first.
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
