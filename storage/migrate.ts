// Brings the schema up to date: numbered SQL files, each once, in order, under a lock, with a checksum that must stay.
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import type { Database } from './database.ts';

const DIRECTORY = join(import.meta.dirname, 'migrations');
/** Any number that nobody else uses as an advisory lock: "caril" in ASCII. */
const LOCK = 0x636172696c;
const slow = { query_timeout: limits.migrationMs };

interface Migration {
  name: string;
  sql: string;
  checksum: string;
}

async function readMigrations(): Promise<Migration[]> {
  const names = (await readdir(DIRECTORY)).filter((name) => name.endsWith('.sql')).sort();
  return Promise.all(
    names.map(async (name) => {
      const sql = await readFile(join(DIRECTORY, name), 'utf8');
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    }),
  );
}

/**
 * Runs what has not run yet, all in one transaction. Several processes may call it at once: one works, the others wait.
 * Returns the names that were run; throws MIGRATION_MISMATCH when a file was changed after it had run.
 */
export async function migrate(database: Database): Promise<string[]> {
  const migrations = await readMigrations();
  return database.transaction(async (tx) => {
    // Somebody else's migration, or our own, may take longer than any other statement.
    await tx.query({ text: 'set local statement_timeout = 0' });
    await tx.query({ ...slow, text: 'select pg_advisory_xact_lock($1)', values: [LOCK] });
    await tx.query({
      text: `create table if not exists schema_migrations (
               name text primary key, checksum text not null, run_at timestamptz not null default now())`,
    });
    const { rows } = await tx.query<{ name: string; checksum: string }>({
      text: 'select name, checksum from schema_migrations',
    });
    const done = new Map(rows.map((row) => [row.name, row.checksum]));
    const pending = migrations.filter((migration) => !isDone(migration, done.get(migration.name)));
    for (const { name, sql, checksum } of pending) {
      await tx.query({ ...slow, text: sql });
      await tx.query({
        text: 'insert into schema_migrations (name, checksum) values ($1, $2)',
        values: [name, checksum],
      });
    }
    return pending.map((migration) => migration.name);
  });
}

function isDone(migration: Migration, checksum: string | undefined): boolean {
  if (checksum !== undefined && checksum !== migration.checksum) {
    throw new CarillonError(
      'MIGRATION_MISMATCH',
      `Migration ${migration.name} was changed after it had run on this database. Restore the file, or write a new migration.`,
    );
  }
  return checksum !== undefined;
}
