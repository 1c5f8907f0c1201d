// A database of its own on the real PostgreSQL of the stack, empty until a mesh migrates it.
import { randomBytes } from 'node:crypto';
import { inject } from 'vitest';
import { openDatabase } from '../../storage/database.ts';
import { databaseUrl } from './database-url.ts';

export interface StackDatabase extends AsyncDisposable {
  readonly url: string;
}

export async function freshStackDatabase(): Promise<StackDatabase> {
  const { postgresUrl } = inject('stack');
  const name = `t_${randomBytes(6).toString('hex')}`;
  const onServer = async (text: string) => {
    await using admin = openDatabase({ url: postgresUrl, connections: 1 });
    await admin.query({ text });
  };
  await onServer(`create database ${name}`);
  return {
    url: databaseUrl(postgresUrl, name),
    [Symbol.asyncDispose]: () => onServer(`drop database ${name} with (force)`),
  };
}
