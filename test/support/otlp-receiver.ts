// An OTLP receiver that is not ours, and the question of tests: do the spans of a trace form one whole tree?
import { MockOtlpServer } from '@elastic/mockotlpserver';

export interface TreeSpan {
  id: string;
  parent: string;
  name: string;
}

export interface OtlpReceiver extends AsyncDisposable {
  readonly url: string;
  /** The spans of one trace that have come so far. */
  spans(traceId: string): readonly TreeSpan[];
}

export async function openOtlpReceiver(): Promise<OtlpReceiver> {
  const traces = new Map<string, TreeSpan[]>();
  const server = new MockOtlpServer({
    logLevel: 'warn',
    services: ['http'],
    httpHostname: '127.0.0.1',
    httpPort: 0,
    onTrace({ resourceSpans }) {
      for (const span of resourceSpans
        .flatMap(({ scopeSpans }) => scopeSpans)
        .flatMap(({ spans }) => spans)) {
        const traceId = span.traceId.toString('hex');
        if (!traces.has(traceId)) traces.set(traceId, []);
        traces.get(traceId)?.push({
          id: span.spanId.toString('hex'),
          parent: span.parentSpanId?.toString('hex') ?? '',
          name: span.name,
        });
      }
    },
  });
  await server.start();
  return {
    url: server.httpUrl.origin,
    spans: (traceId) => traces.get(traceId) ?? [],
    [Symbol.asyncDispose]: () => server.close(),
  };
}

/** Says what keeps the spans from being one tree below `callerSpan`; an empty list when nothing does. */
export function treeFaults(
  spans: readonly TreeSpan[],
  callerSpan: string,
  names: readonly string[],
): string[] {
  const ids = new Set(spans.map(({ id }) => id));
  const roots = spans.filter(({ parent }) => parent === callerSpan);
  const faults = spans
    .filter(({ parent }) => parent !== callerSpan && !ids.has(parent))
    .map(({ name, parent }) => `"${name}" hangs on ${parent || 'nothing'}, which nobody sent`);
  if (roots.length !== 1)
    faults.push(`${roots.length} spans hang on the caller: ${roots.map(({ name }) => name).join(', ')}`);
  for (const name of names) if (!spans.some((span) => span.name === name)) faults.push(`no span "${name}"`);
  return faults;
}
