// Traces over OTLP: parents come from traceparent texts alone, so a span never hangs on what happens to run around it.
import {
  type Context,
  DiagLogLevel,
  diag,
  ROOT_CONTEXT,
  type Span as SdkSpan,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { systemClock } from './clock.ts';
import { CarillonError } from './errors.ts';
import { limits } from './limits.ts';
import type { Log } from './log.ts';
import {
  type Attributes,
  isSampled,
  noSpan,
  type Span,
  type SpanOptions,
  type Tracing,
  tracingOff,
  validTraceparent,
} from './tracing.ts';

export interface OtlpTracingOptions {
  /** Where `OTEL_*` is read. */
  environment: Readonly<Record<string, string | undefined>>;
  /** Gets what the exporter complains about. */
  log: Log;
}

const kinds = {
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
  internal: SpanKind.INTERNAL,
} as const;

/** The inverse of `contextOf`. */
function traceparentOf({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}

/** The context that a valid traceparent names. */
function contextOf(traceparent: string): SpanContext {
  return {
    traceId: traceparent.slice(3, 35),
    spanId: traceparent.slice(36, 52),
    traceFlags: Number.parseInt(traceparent.slice(53), 16),
    isRemote: true,
  };
}

function under(traceparent: string | undefined): Context {
  return traceparent === undefined
    ? ROOT_CONTEXT
    : trace.setSpanContext(ROOT_CONTEXT, contextOf(traceparent));
}

class OtlpSpan implements Span {
  readonly traceparent: string;
  readonly #span: SdkSpan;
  #ended = false;

  constructor(span: SdkSpan) {
    this.#span = span;
    this.traceparent = traceparentOf(span.spanContext());
  }

  set(attributes: Attributes): void {
    this.#span.setAttributes(attributes);
  }

  fail(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof CarillonError) this.#span.setAttribute('error.type', error.reason);
    else if (error instanceof Error) this.#span.setAttribute('error.type', error.name);
    this.#span.setStatus({ code: SpanStatusCode.ERROR, message });
  }

  end(endMs?: number): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#span.end(endMs);
  }
}

class OtlpTracing implements Tracing {
  readonly #provider: TracerProvider;
  readonly #tracer: Tracer;
  readonly #log: Log;
  #closed: Promise<void> | undefined;

  constructor(provider: TracerProvider, log: Log) {
    this.#provider = provider;
    this.#tracer = provider.getTracer('carillon');
    this.#log = log;
  }

  root(name: string, options: SpanOptions): Span {
    const parent = validTraceparent(options.parent);
    const span = this.#start(name, parent, options);
    return span.isRecording() ? new OtlpSpan(span) : noSpan(parent);
  }

  span(name: string, options: SpanOptions): Span {
    const { parent } = options;
    if (!isSampled(parent) || validTraceparent(parent) === undefined) return noSpan(parent);
    return new OtlpSpan(this.#start(name, parent, options));
  }

  #start(name: string, parent: string | undefined, options: SpanOptions): SdkSpan {
    const links = options.links?.filter((link) => validTraceparent(link) !== undefined);
    return this.#tracer.startSpan(
      name,
      {
        kind: kinds[options.kind ?? 'internal'],
        startTime: options.startMs,
        attributes: options.attributes,
        links: links?.map((link) => ({ context: contextOf(link) })),
      },
      under(parent),
    );
  }

  flush(): Promise<void> {
    return this.#within(this.#provider.forceFlush());
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#within(this.#provider.shutdown());
    return this.#closed;
  }

  /** A receiver that is away must not hold up a drain: what it misses is told, not thrown. */
  async #within(sending: Promise<void>): Promise<void> {
    const given = new AbortController();
    const late = systemClock.sleep(limits.traceFlushMs, given.signal).then(() => !given.signal.aborted);
    try {
      if (await Promise.race([sending.then(() => false), late]))
        this.#log.warn(`traces were not taken within ${limits.traceFlushMs} ms`);
    } catch (error) {
      this.#log.warn({ err: error }, 'traces were not taken');
    } finally {
      given.abort();
    }
  }
}

/** A span under a sampled parent is always made: the decision fell at the root. */
function sampler(name: string | undefined, argument: string | undefined): Sampler {
  const ratio = argument === undefined || argument === '' ? 1 : Number(argument);
  if (!(ratio >= 0 && ratio <= 1))
    throw new CarillonError(
      'CONFIG_INVALID',
      `OTEL_TRACES_SAMPLER_ARG must be a ratio from 0 to 1, not ${argument}.`,
    );
  switch (name || 'parentbased_always_on') {
    case 'always_on':
      return new AlwaysOnSampler();
    case 'always_off':
      return new ParentBasedSampler({ root: new AlwaysOffSampler() });
    case 'traceidratio':
      return new TraceIdRatioBasedSampler(ratio);
    case 'parentbased_always_on':
      return new ParentBasedSampler({ root: new AlwaysOnSampler() });
    case 'parentbased_always_off':
      return new ParentBasedSampler({ root: new AlwaysOffSampler() });
    case 'parentbased_traceidratio':
      return new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) });
    default:
      throw new CarillonError(
        'CONFIG_INVALID',
        `OTEL_TRACES_SAMPLER cannot be ${name}; docs/configuration.md lists what it can be.`,
      );
  }
}

/** `http://h:4318` + OTLP's path; undefined when nobody is to receive traces. */
function endpoint(environment: OtlpTracingOptions['environment']): string | undefined {
  if (environment.OTEL_SDK_DISABLED === 'true' || environment.OTEL_TRACES_EXPORTER === 'none')
    return undefined;
  const base = environment.OTEL_EXPORTER_OTLP_ENDPOINT;
  const url =
    environment.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ||
    (base ? `${base.replace(/\/+$/, '')}/v1/traces` : undefined);
  if (!url) return undefined;
  if (!URL.canParse(url))
    throw new CarillonError('CONFIG_INVALID', `OTEL_EXPORTER_OTLP_ENDPOINT is not a URL: ${url}`);
  const protocol =
    environment.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL ||
    environment.OTEL_EXPORTER_OTLP_PROTOCOL ||
    'http/protobuf';
  if (protocol !== 'http/protobuf')
    throw new CarillonError(
      'CONFIG_INVALID',
      `OTEL_EXPORTER_OTLP_PROTOCOL can only be http/protobuf here, not ${protocol}; receivers listen for it on port 4318.`,
    );
  return url;
}

/**
 * Opens tracing as `OTEL_*` says; `tracingOff` when no endpoint is named. Spans beyond `limits.traceQueueSpans` that wait
 * to be sent are dropped. Throws CONFIG_INVALID when a name has a value that cannot be.
 */
export function openTracing({ environment, log }: OtlpTracingOptions): Tracing {
  const url = endpoint(environment);
  if (url === undefined) return tracingOff;
  diag.setLogger(
    {
      error: (message, ...rest) => log.warn({ rest }, `traces: ${message}`),
      warn: (message, ...rest) => log.warn({ rest }, `traces: ${message}`),
      info: () => {},
      debug: () => {},
      verbose: () => {},
    },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
  const exporter = new OTLPTraceExporter({ url, timeoutMillis: limits.traceExportMs });
  const processor = new BatchSpanProcessor({
    exporter,
    maxQueueSize: limits.traceQueueSpans,
    maxExportBatchSize: limits.traceBatchSpans,
    scheduledDelayMillis: limits.traceDelayMs,
    exportTimeoutMillis: limits.traceExportMs,
  });
  const named = environment.OTEL_SERVICE_NAME || 'carillon';
  const resource = detectResources({ detectors: [envDetector] }).merge(
    resourceFromAttributes({ 'service.name': named }),
  );
  const provider = new TracerProvider({
    resource,
    sampler: sampler(environment.OTEL_TRACES_SAMPLER, environment.OTEL_TRACES_SAMPLER_ARG),
    spanProcessors: [processor],
  });
  return new OtlpTracing(provider, log);
}
