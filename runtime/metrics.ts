// The numbers that a Prometheus server scrapes, under the names of docs/metrics.md. No user ids in labels.

import type { Counter, Gauge, Histogram } from '@opentelemetry/api';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { AggregationType, InstrumentType, MeterProvider } from '@opentelemetry/sdk-metrics';

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800];

export interface Metrics {
  acceptedTotal: Counter;
  acceptDuration: Histogram;
  outboxOldestAge: Gauge;
  stageLag: Gauge;
  deliveriesTotal: Counter;
  deliveryDuration: Histogram;
  edgeStreams: Gauge;
  edgeFrameBytesTotal: Counter;
  edgeRefusedTotal: Counter;
  edgeGoAwaysTotal: Counter;
  edgeGreetedTotal: Counter;
  attemptsTotal: Counter;
  providerDuration: Histogram;
  breakerState: Gauge;
  providerRate: Gauge;
  deadLetters: Gauge;
  ambiguousAttemptsTotal: Counter;
  retriesTotal: Counter;
  clearsTotal: Counter;
  /** The page that is scraped, in Prometheus' text format. */
  expose(): Promise<string>;
}

export function createMetrics(): Metrics {
  const exporter = new PrometheusExporter({ preventServerStart: true });
  const provider = new MeterProvider({
    readers: [exporter],
    views: [
      {
        // By kind, not by name: a gauge in seconds would become a histogram too.
        instrumentType: InstrumentType.HISTOGRAM,
        aggregation: { type: AggregationType.EXPLICIT_BUCKET_HISTOGRAM, options: { boundaries: SECONDS } },
      },
    ],
  });
  const meter = provider.getMeter('carillon');
  // Neither target_info nor otel_scope labels: nobody asks for them, and they double the page.
  const serializer = new PrometheusSerializer(undefined, false, undefined, true, true);
  const metrics: Metrics = {
    acceptedTotal: meter.createCounter('carillon_accepted_total', {
      description: 'Notifications that were accepted.',
    }),
    acceptDuration: meter.createHistogram('carillon_accept_duration_seconds', {
      description: 'From the call to its answer.',
    }),
    outboxOldestAge: meter.createGauge('carillon_outbox_oldest_age_seconds', {
      description: 'Age of the oldest record that waits for the log.',
    }),
    stageLag: meter.createGauge('carillon_stage_lag_seconds', {
      description: 'Age of the oldest record that a stage has not finished.',
    }),
    deliveriesTotal: meter.createCounter('carillon_deliveries_total', {
      description: 'Deliveries that reached a state.',
    }),
    deliveryDuration: meter.createHistogram('carillon_delivery_duration_seconds', {
      description: 'From acceptance to the ack, or to the provider taking it.',
    }),
    edgeStreams: meter.createGauge('carillon_edge_streams', { description: 'Open client streams.' }),
    edgeFrameBytesTotal: meter.createCounter('carillon_edge_frame_bytes_total', {
      description: 'Bytes of frames written to clients.',
    }),
    edgeRefusedTotal: meter.createCounter('carillon_edge_refused_total', {
      description: 'Streams that were not opened, by reason.',
    }),
    edgeGoAwaysTotal: meter.createCounter('carillon_edge_goaways_total', {
      description: 'Clients that were asked to reconnect, by reason.',
    }),
    edgeGreetedTotal: meter.createCounter('carillon_edge_greeted_total', {
      description: 'Streams that began, from memory or after a look at the store.',
    }),
    attemptsTotal: meter.createCounter('carillon_attempts_total', {
      description: 'Provider calls by outcome.',
    }),
    providerDuration: meter.createHistogram('carillon_provider_duration_seconds', {
      description: 'Duration of a provider call.',
    }),
    breakerState: meter.createGauge('carillon_breaker_state', {
      description: '0 closed, 1 half open, 2 open.',
    }),
    providerRate: meter.createGauge('carillon_provider_rate', {
      description: 'Calls a second that a provider is allowed; 0: as many as come.',
    }),
    deadLetters: meter.createGauge('carillon_dead_letters', {
      description: 'Dead letters that were not replayed.',
    }),
    ambiguousAttemptsTotal: meter.createCounter('carillon_ambiguous_attempts_total', {
      description: 'Provider calls whose outcome is not known.',
    }),
    retriesTotal: meter.createCounter('carillon_retries_total', {
      description: 'Provider calls that will be tried again.',
    }),
    clearsTotal: meter.createCounter('carillon_clears_total', {
      description: 'Pushes that were to be taken back, by outcome.',
    }),
    async expose() {
      const { resourceMetrics } = await exporter.collect();
      return serializer.serialize(resourceMetrics);
    },
  };
  // A rate over a counter that appears with its first event misses that event: those without labels begin at 0.
  metrics.edgeFrameBytesTotal.add(0);
  metrics.ambiguousAttemptsTotal.add(0);
  metrics.retriesTotal.add(0);
  metrics.edgeStreams.record(0);
  metrics.deadLetters.record(0);
  metrics.outboxOldestAge.record(0);
  return metrics;
}
