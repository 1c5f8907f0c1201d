// A process that holds an embedded PostgreSQL, for tests that kill it: prints its url and pids, drains on SIGINT until told to stop.
import { once } from 'node:events';
import pg from 'pg';
import { startEmbeddedPostgres } from './embedded-postgres.ts';

const dataDir = process.argv[2];
if (!dataDir) throw new Error('usage: embedded-postgres.fixture.ts DATA_DIR');
const say = (fact: Record<string, unknown>) => process.stdout.write(`${JSON.stringify(fact)}\n`);

process.on('SIGINT', () => say({ interrupted: true }));
process.stdin.resume();
try {
  await using server = await startEmbeddedPostgres({ dataDir });
  say({ url: server.url, postmaster: server.pid, pid: process.pid });
  await once(process.stdin, 'data');
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  const { rows } = await client.query('SELECT 1 AS one');
  await client.end();
  await server.stop();
  say({ stopped: true, rows });
} catch (error) {
  say({ failed: error instanceof Error ? error.message : String(error) });
}
process.exit();
