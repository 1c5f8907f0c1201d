// What the tests use of @elastic/mockotlpserver, which has no types of its own.
declare module '@elastic/mockotlpserver' {
  export interface ReceivedSpan {
    traceId: Buffer;
    spanId: Buffer;
    parentSpanId?: Buffer;
    name: string;
  }
  export interface ReceivedTraces {
    resourceSpans: { scopeSpans: { spans: ReceivedSpan[] }[] }[];
  }
  export class MockOtlpServer {
    constructor(options: {
      logLevel: string;
      services: string[];
      httpHostname: string;
      httpPort: number;
      onTrace: (traces: ReceivedTraces) => void;
    });
    readonly httpUrl: URL;
    start(): Promise<void>;
    close(): Promise<void>;
  }
}
