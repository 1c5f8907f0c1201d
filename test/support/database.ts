// A freshly migrated database for one test, gone when the test is.
import { randomBytes } from 'node:crypto';
import { inject } from 'vitest';
import { type Database, openDatabase } from '../../storage/database.ts';
import { databaseUrl } from './database-url.ts';

export interface TestDatabase extends AsyncDisposable {
  readonly db: Database;
  readonly url: string;
}

export async function testDatabase(options: { connections?: number } = {}): Promise<TestDatabase> {
  const server = inject('postgresUrl');
  const name = `t_${randomBytes(6).toString('hex')}`;
  const onServer = async (text: string) => {
    await using admin = openDatabase({ url: server, connections: 1 });
    await admin.query({ text });
  };
  await onServer(`create database ${name} template carillon_template`);
  const url = databaseUrl(server, name);
  const db = openDatabase({ url, ...options });
  return {
    db,
    url,
    async [Symbol.asyncDispose]() {
      await db[Symbol.asyncDispose]();
      await onServer(`drop database ${name} with (force)`);
    },
  };
}
