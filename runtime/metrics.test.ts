// Names, kinds and labels of the metrics page are those of docs/metrics.md.
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { createMetrics } from './metrics.ts';

const NAMES = {
  carillon_accepted_total: 'counter',
  carillon_accept_duration_seconds: 'histogram',
  carillon_outbox_oldest_age_seconds: 'gauge',
  carillon_stage_lag_seconds: 'gauge',
  carillon_deliveries_total: 'counter',
  carillon_delivery_duration_seconds: 'histogram',
  carillon_edge_streams: 'gauge',
  carillon_edge_frame_bytes_total: 'counter',
  carillon_edge_refused_total: 'counter',
  carillon_edge_goaways_total: 'counter',
  carillon_edge_greeted_total: 'counter',
  carillon_attempts_total: 'counter',
  carillon_provider_duration_seconds: 'histogram',
  carillon_breaker_state: 'gauge',
  carillon_provider_rate: 'gauge',
  carillon_dead_letters: 'gauge',
  carillon_ambiguous_attempts_total: 'counter',
  carillon_retries_total: 'counter',
};

function used() {
  const metrics = createMetrics();
  metrics.acceptedTotal.add(2);
  metrics.acceptDuration.record(0.2);
  metrics.outboxOldestAge.record(3.5);
  metrics.stageLag.record(9, { stage: 'router', lane: 'bulk' });
  metrics.stageLag.record(1, { stage: 'router', lane: 'bulk' });
  metrics.deliveriesTotal.add(1, { channel: 'email', state: 'SENT', lane: 'normal' });
  metrics.deliveryDuration.record(0.01, { channel: 'in_app', lane: 'normal' });
  metrics.edgeStreams.record(4);
  metrics.edgeFrameBytesTotal.add(100);
  metrics.edgeRefusedTotal.add(1, { reason: 'TOO_MANY_STREAMS' });
  metrics.edgeGoAwaysTotal.add(1, { reason: 'AGE' });
  metrics.edgeGreetedTotal.add(1, { from: 'memory' });
  metrics.attemptsTotal.add(1, { provider: 'smtp', outcome: 'sent' });
  metrics.providerDuration.record(0.3, { provider: 'smtp' });
  metrics.breakerState.record(2, { provider: 'smtp' });
  metrics.providerRate.record(50, { provider: 'smtp' });
  metrics.deadLetters.record(1);
  metrics.ambiguousAttemptsTotal.add(1);
  metrics.retriesTotal.add(1);
  return metrics;
}

test('each metric has its name and its kind', async () => {
  const page = await used().expose();
  const kinds = Object.fromEntries(
    [...page.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, kind]) => [name, kind]),
  );
  expect(kinds).toEqual(NAMES);
});

test('a gauge in seconds shows its last value, not a histogram', async () => {
  const page = await used().expose();
  expect(page).toContain('\ncarillon_stage_lag_seconds{stage="router",lane="bulk"} 1\n');
  expect(page).toContain('\ncarillon_outbox_oldest_age_seconds 3.5\n');
});

test('histograms have buckets of seconds from a millisecond to half an hour', async () => {
  const page = await used().expose();
  expect(page).toContain('carillon_accept_duration_seconds_bucket{le="0.1"} 0\n');
  expect(page).toContain('carillon_accept_duration_seconds_bucket{le="0.25"} 1\n');
  expect(page).toContain(
    'carillon_delivery_duration_seconds_bucket{channel="in_app",lane="normal",le="1800"} 1\n',
  );
});

test('the page holds our labels only', async () => {
  expect(await used().expose()).not.toMatch(/otel_scope|target_info/);
});

test('what has no labels is there from the start, at 0', async () => {
  const page = await createMetrics().expose();
  for (const name of ['carillon_edge_streams', 'carillon_dead_letters', 'carillon_ambiguous_attempts_total'])
    expect(page).toMatch(new RegExp(`^${name} 0$`, 'm'));
});

test('docs/metrics.md names every metric', async () => {
  const page = await readFile(new URL('../docs/metrics.md', import.meta.url), 'utf8');
  for (const name of Object.keys(NAMES)) expect(page).toContain(`\`${name}`);
});
