// The way to PostgreSQL: pooled queries, transactions that are tried again after a deadlock, errors that say so.
import pg from 'pg';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';

/**
 * Something that runs a statement: a pool, or one transaction's connection. A statement that a pool runs is a transaction of
 * its own, and is tried again as such.
 */
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
/**
 * SQLSTATE classes and codes that mean "the database cannot do it now", not "the statement is wrong": connections, resources,
 * read-only, a transaction left idle, a lock or a statement that took too long, shutdown, input and output.
 */
const UNAVAILABLE = /^(08|25006|25P0[34]|53|55P03|57014|57P|58)/;
/** PostgreSQL's text takes no zero character. */
const BAD_TEXT = '22021';
/** What pg says itself, without a code: the connection broke, or nothing was answered in time. */
const NO_ANSWER = /terminated|timeout exceeded|timeout expired|read timeout|not queryable/i;

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

/** The connection is of no use any more: the operating system or pg says so, not the server. */
function isBroken(error: unknown): error is Error {
  return error instanceof Error && (/^E[A-Z_]+$/.test(codeOf(error)) || NO_ANSWER.test(error.message));
}

/** Turns a driver error that means "not now" into STORE_UNAVAILABLE, and text that cannot be stored into INVALID_REQUEST. */
function storeError(error: unknown): unknown {
  if (error instanceof CarillonError) return error;
  const code = codeOf(error);
  if (code === BAD_TEXT)
    return new CarillonError('INVALID_REQUEST', 'Text must not hold a zero character.', { cause: error });
  return isBroken(error) || UNAVAILABLE.test(code)
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
  /** Until a connection stands, and until a statement is answered; `limits.databaseConnectMs`, `.databaseAnswerMs`. */
  connectMs?: number;
  answerMs?: number;
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
  // PostgreSQL 18 (18.4 at least) crashes in perform_pruning_base_step, and takes all connections with it, when a row that a
  // join locks was changed meanwhile and partitions are pruned while the join runs: once in 15 runs of deliveries.test.ts,
  // by takeNextStep. Without pruning a probe looks into the index of each other week as well.
  enable_partition_pruning: 'off',
  jit: 'off',
};

export function openDatabase({
  url,
  connections,
  name = 'carillon',
  clock = systemClock,
  connectMs = limits.databaseConnectMs,
  answerMs = limits.databaseAnswerMs,
  settings = {},
}: DatabaseOptions): Database {
  const server = {
    synchronous_commit: 'on',
    statement_timeout: String(limits.databaseStatementMs),
    // A process that is stopped in a transaction would hold its locks, those of the log's heads too, until it goes on.
    idle_in_transaction_session_timeout: String(limits.databaseIdleMs),
    timezone: 'UTC',
    // A plan is made once for each connection, and anew when partitions or statistics change: its shape is that of the probes
    // whatever the values are. Left to itself the server plans an ack each time, over all weeks: 1.6 ms for 0.4 ms of work.
    plan_cache_mode: 'force_generic_plan',
    ...PROBES,
    ...settings,
  };
  const pool = new pg.Pool({
    connectionString: url,
    max: connections ?? limits.databaseConnections,
    application_name: name,
    connectionTimeoutMillis: connectMs,
    // A server whose machine is gone answers nothing, not even "no": TCP would wait for a quarter of an hour.
    query_timeout: answerMs,
    keepAlive: true,
    options: Object.entries(server)
      .map(([key, value]) => `-c ${key}=${value}`)
      .join(' '),
  });
  // An idle connection that breaks is replaced by the pool; the next query finds out by itself.
  pool.on('error', () => {});

  async function within<T>(begin: string, work: (tx: Queryable) => Promise<T>): Promise<T> {
    const client = await pool.connect();
    let broken: Error | undefined;
    const onError = (error: Error) => {
      broken = error;
    };
    client.on('error', onError);
    try {
      await client.query(begin);
      const result = await work(client);
      const { command } = await client.query('commit');
      // A statement failed and `work` went on all the same: the server has rolled everything back.
      if (command !== 'COMMIT') throw new Error(`a transaction ended with ${command}`);
      return result;
    } catch (error) {
      if (isBroken(error)) broken = error;
      else
        await client.query('rollback').catch((failed: Error) => {
          broken = failed;
        });
      throw error;
    } finally {
      client.off('error', onError);
      client.release(broken);
    }
  }

  /** A deadlock or a serialization failure has undone everything: `attempt` is made again. */
  async function again<T>(attempt: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await attempt();
      } catch (error) {
        if (!RETRIED.has(codeOf(error)) || tries >= limits.transactionTries) throw storeError(error);
        await clock.sleep(tries * 5);
      }
    }
  }

  return {
    url,
    query: (statement) => again(() => pool.query(statement)),
    transaction: (work) => again(() => within('begin', work)),
    snapshot: (work) => again(() => within('begin isolation level repeatable read read only', work)),
    async [Symbol.asyncDispose]() {
      if (!pool.ending) await pool.end();
    },
  };
}

/** Milliseconds since the epoch by the database's clock. */
export async function storeNowMs(db: Queryable): Promise<number> {
  const { rows } = await db.query<{ now_ms: number }>({
    name: 'store-now',
    text: 'select floor(extract(epoch from clock_timestamp()) * 1000)::float8 as now_ms',
  });
  return rows[0]?.now_ms ?? Number.NaN;
}
