// What each process says of its providers, for `carillon providers list`: overwritten every few seconds, dropped when stale.
import type { BreakerState } from '../gen/carillon/v1/admin_pb.ts';
import type { Channel } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import type { Queryable } from './database.ts';

export interface ProviderReport {
  /** Who configured it; empty: it comes from the process's own configuration, and is for all who configured none. */
  tenant: string;
  provider: string;
  channel: Channel;
  breaker: BreakerState;
  /** Calls a second that it is allowed; 0: as many as come. */
  rate: number;
  /** Why the process cannot use it; empty: it can. */
  problem: string;
}

export interface StoredReport extends ProviderReport {
  /** The process that says so. */
  node: string;
  /** Milliseconds since the epoch, by the database's clock. */
  reportedAtMs: number;
}

/** Replaces what this node said before. */
export async function putProviderReports(
  db: Queryable,
  node: string,
  reports: readonly ProviderReport[],
): Promise<void> {
  await db.query({
    name: 'reports-put',
    text: `with said as (
             select * from unnest($2::text[], $3::text[], $4::smallint[], $5::smallint[], $6::float8[], $7::text[])
               as r (tenant, provider, channel, breaker, rate, problem)),
           gone as (delete from provider_reports
             where (node = $1 and (tenant, provider, channel) not in (select tenant, provider, channel from said))
                or reported_at < now() - $8::int * interval '1 ms')
           insert into provider_reports (node, tenant, provider, channel, breaker, rate, problem)
           select $1, said.* from said order by tenant, provider, channel
           on conflict (node, tenant, channel, provider) do update set
             breaker = excluded.breaker, rate = excluded.rate, problem = excluded.problem, reported_at = now()`,
    values: [
      node,
      reports.map((report) => report.tenant),
      reports.map((report) => report.provider),
      reports.map((report) => report.channel),
      reports.map((report) => report.breaker),
      reports.map((report) => report.rate),
      reports.map((report) => report.problem),
      limits.providerReportKeptMs,
    ],
  });
}

/** Reports that are not stale, of the tenant's providers and of those that are for all; by channel, provider and node. */
export async function listProviderReports(db: Queryable, tenant: string): Promise<StoredReport[]> {
  const { rows } = await db.query<{
    node: string;
    tenant: string;
    provider: string;
    channel: number;
    breaker: number;
    rate: number;
    problem: string;
    reported_at: Date;
  }>({
    name: 'reports-list',
    text: `select node, tenant, provider, channel, breaker, rate, problem, reported_at from provider_reports
           where tenant in ('', $2) and reported_at >= now() - $1::int * interval '1 ms'
           order by channel, provider, node`,
    values: [limits.providerReportKeptMs, tenant],
  });
  return rows.map(({ reported_at, ...row }) => ({
    ...row,
    channel: row.channel as Channel,
    breaker: row.breaker as BreakerState,
    reportedAtMs: reported_at.getTime(),
  }));
}
