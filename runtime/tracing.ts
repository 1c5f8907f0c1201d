// Spans whose parents come from rows, record headers and frames. Off, or not sampled, it costs one comparison.

export type Attributes = Readonly<Record<string, string | number | boolean>>;

export interface SpanOptions {
  /** `traceparent` of the span above. Undefined or not sampled: no span is made. */
  parent: string | undefined;
  /** When it began, milliseconds since the epoch; now when absent. For waits that are known only afterwards. */
  startMs?: number;
  attributes?: Attributes;
  /** `traceparent`s that belong to it without being above it, such as those of a batch. */
  links?: readonly string[];
  kind?: 'server' | 'client' | 'producer' | 'consumer' | 'internal';
}

export interface Span {
  /** What to hand on: this span's own context, or the parent's when no span was made. */
  readonly traceparent: string | undefined;
  set(attributes: Attributes): void;
  fail(error: unknown): void;
  /** `endMs`: milliseconds since the epoch; now when absent. Ending twice is harmless. */
  end(endMs?: number): void;
}

export interface Tracing extends AsyncDisposable {
  /** Begins a flow: joins the caller's `parent` when it is valid, else starts a trace if the sampler says so. */
  root(name: string, options: SpanOptions): Span;
  /** Continues a flow; makes a span only when `parent` is sampled. */
  span(name: string, options: SpanOptions): Span;
  /** Sends what is waiting. */
  flush(): Promise<void>;
}

const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** Returns the text when it is a valid W3C traceparent of version 00, else undefined. */
export function validTraceparent(text: string | undefined): string | undefined {
  return text !== undefined && TRACEPARENT.test(text) ? text : undefined;
}

/** Whether the flow is sampled: the lowest bit of the flags. */
export function isSampled(traceparent: string | undefined): boolean {
  return traceparent !== undefined && (Number.parseInt(traceparent.slice(53), 16) & 1) === 1;
}

class NoSpan implements Span {
  readonly traceparent: string | undefined;
  constructor(traceparent: string | undefined) {
    this.traceparent = traceparent;
  }
  set(): void {}
  fail(): void {}
  end(): void {}
}

/** The span of a flow that is not sampled: it hands its parent on. */
export function noSpan(parent: string | undefined): Span {
  return new NoSpan(parent);
}

export const tracingOff: Tracing = {
  root: (_name, { parent }) => noSpan(validTraceparent(parent)),
  span: (_name, { parent }) => noSpan(parent),
  flush: () => Promise.resolve(),
  [Symbol.asyncDispose]: () => Promise.resolve(),
};
