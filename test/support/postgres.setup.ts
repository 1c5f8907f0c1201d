// One embedded PostgreSQL for a whole test run, with a migrated template that each test's database is copied from.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { systemClock } from '../../runtime/clock.ts';
import { openDatabase } from '../../storage/database.ts';
import { startEmbeddedPostgres } from '../../storage/embedded-postgres.ts';
import { migrate } from '../../storage/migrate.ts';
import { ensurePartitions } from '../../storage/partitions.ts';
import { databaseUrl } from './database-url.ts';

declare module 'vitest' {
  interface ProvidedContext {
    postgresUrl: string;
  }
}

export const TEMPLATE = 'carillon_template';

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = await mkdtemp(join(tmpdir(), 'carillon-test-'));
  const postgres = await startEmbeddedPostgres({ dataDir });
  {
    await using admin = openDatabase({ url: postgres.url, connections: 1 });
    await admin.query({ text: `create database ${TEMPLATE}` });
  }
  {
    await using template = openDatabase({ url: databaseUrl(postgres.url, TEMPLATE), connections: 1 });
    await migrate(template);
    await ensurePartitions(template, systemClock.now());
  }
  project.provide('postgresUrl', postgres.url);
  return async () => {
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  };
}
