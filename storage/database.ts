// The way to PostgreSQL: pooled queries, transactions that are tried again after a deadlock, errors that say so.
import pg from 'pg';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';

/** Something that runs a statement: a pool, or one transaction's connection. */
export interface Queryable {
  query<R extends pg.QueryResultRow>(statement: pg.QueryConfig): Promise<pg.QueryResult<R>>;
}

export interface Database extends Queryable, AsyncDisposable {
  /**
   * Runs `work` in one READ COMMITTED transaction. Deadlocks (40P01) and serialization failures (40001) are tried
   * again up to `limits.transactionTries`; `work` must have no effect outside the database.
   */
  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T>;
  /** As `transaction`, but every statement reads one snapshot, and nothing is written. */
  snapshot<T>(work: (tx: Queryable) => Promise<T>): Promise<T>;
  /** Connection string, for tools that open their own. */
  readonly url: string;
}

const RETRIED = new Set(['40P01', '40001']);
/** SQLSTATE classes and codes that mean "the database cannot do it now", not "the statement is wrong". */
const UNAVAILABLE = /^(08|53|57P|58|25006|72)/;

/** Turns a driver error that means "not now" into STORE_UNAVAILABLE; others stay what they are. */
function storeError(error: unknown): unknown {
  if (error instanceof CarillonError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const gone =
    error instanceof Error &&
    /terminated|ECONN|EPIPE|ENOENT|timeout exceeded|not queryable/.test(`${code} ${error.message}`);
  return gone || UNAVAILABLE.test(code)
    ? new CarillonError('STORE_UNAVAILABLE', undefined, { cause: error, retryAfterMs: 1_000 })
    : error;
}

export interface DatabaseOptions {
  url: string;
  /** Connections at most; `limits.databaseConnections` when absent. */
  connections?: number;
  /** Shown in pg_stat_activity. */
  name?: string;
  clock?: Clock;
  /** Server settings of these connections that differ, such as `synchronous_commit`. */
  settings?: Readonly<Record<string, string>>;
}

/**
 * All statements look rows up by keys. A prepared plan made while a table was empty would otherwise keep reading it whole,
 * or keep hashing it, once it is full: 15,000 pages instead of 300 for 50 users of 30,000 (hot-plans.test.ts).
 */
const PROBES = {
  enable_seqscan: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  enable_material: 'off',
  jit: 'off',
};

export function openDatabase({
  url,
  connections,
  name = 'carillon',
  clock = systemClock,
  settings = {},
}: DatabaseOptions): Database {
  const server = {
    synchronous_commit: 'on',
    timezone: 'UTC',
    plan_cache_mode: 'auto',
    ...PROBES,
    ...settings,
  };
  const pool = new pg.Pool({
    connectionString: url,
    max: connections ?? limits.databaseConnections,
    application_name: name,
    connectionTimeoutMillis: limits.databaseConnectMs,
    // Plans of prepared statements must not be fixed on a partition layout of yesterday.
    options: Object.entries(server)
      .map(([key, value]) => `-c ${key}=${value}`)
      .join(' '),
  });
  // An idle connection that breaks is replaced by the pool; the next query finds out by itself.
  pool.on('error', () => {});

  async function within<T>(begin: string, work: (tx: Queryable) => Promise<T>): Promise<T> {
    const client = await pool.connect().catch((error: unknown) => Promise.reject(storeError(error)));
    let broken: Error | undefined;
    const onError = (error: Error) => {
      broken = error;
    };
    client.on('error', onError);
    try {
      await client.query(begin);
      const result = await work(client);
      await client.query('commit');
      return result;
    } catch (error) {
      await client.query('rollback').catch((failed: Error) => {
        broken = failed;
      });
      throw storeError(error);
    } finally {
      client.off('error', onError);
      client.release(broken);
    }
  }

  return {
    url,
    query: (statement) => pool.query(statement).catch((error: unknown) => Promise.reject(storeError(error))),
    async transaction(work) {
      for (let tries = 1; ; tries++) {
        try {
          return await within('begin', work);
        } catch (error) {
          const code = error instanceof Error && 'code' in error ? String(error.code) : '';
          if (!RETRIED.has(code) || tries >= limits.transactionTries) throw error;
          await clock.sleep(tries * 5);
        }
      }
    },
    snapshot: (work) => within('begin isolation level repeatable read read only', work),
    async [Symbol.asyncDispose]() {
      if (!pool.ending) await pool.end();
    },
  };
}
