// What each process says of its providers, for `carillon providers list`: overwritten every few seconds, dropped when stale.
import type { BreakerState } from '../gen/carillon/v1/admin_pb.ts';
import type { Channel } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import type { Queryable } from './database.ts';

export interface ProviderReport {
  provider: string;
  channel: Channel;
  breaker: BreakerState;
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
    text: `with gone as (delete from provider_reports
             where (node = $1 and (provider, channel) not in (select * from unnest($2::text[], $3::smallint[])))
                or reported_at < now() - $5::int * interval '1 ms')
           insert into provider_reports (node, provider, channel, breaker)
           select $1, r.provider, r.channel, r.breaker
           from unnest($2::text[], $3::smallint[], $4::smallint[]) as r (provider, channel, breaker)
           order by r.provider, r.channel
           on conflict (node, provider, channel) do update set breaker = excluded.breaker, reported_at = now()`,
    values: [
      node,
      reports.map((report) => report.provider),
      reports.map((report) => report.channel),
      reports.map((report) => report.breaker),
      limits.providerReportKeptMs,
    ],
  });
}

/** Reports that are not stale, by channel, provider and node. */
export async function listProviderReports(db: Queryable): Promise<StoredReport[]> {
  const { rows } = await db.query<{
    node: string;
    provider: string;
    channel: number;
    breaker: number;
    reported_at: Date;
  }>({
    name: 'reports-list',
    text: `select node, provider, channel, breaker, reported_at from provider_reports
           where reported_at >= now() - $1::int * interval '1 ms' order by channel, provider, node`,
    values: [limits.providerReportKeptMs],
  });
  return rows.map((row) => ({
    node: row.node,
    provider: row.provider,
    channel: row.channel as Channel,
    breaker: row.breaker as BreakerState,
    reportedAtMs: row.reported_at.getTime(),
  }));
}
