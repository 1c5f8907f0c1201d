// A transport of Connect without a network: the stream and the calls go to a model, and what the model says comes back.
import { create, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import { Code, ConnectError, type Transport } from '@connectrpc/connect';
import {
  type AckRequest,
  AckRequestSchema,
  AckResponseSchema,
  type ListInboxRequest,
  ListInboxRequestSchema,
  ListInboxResponseSchema,
  type MarkInboxRequest,
  MarkInboxRequestSchema,
  MarkInboxResponseSchema,
  type ReauthenticateRequest,
  ReauthenticateRequestSchema,
  ReauthenticateResponseSchema,
  type SetActivityRequest,
  SetActivityRequestSchema,
  SetActivityResponseSchema,
  type SubscribeRequest,
  SubscribeRequestSchema,
  type SubscribeResponse,
  SubscribeResponseSchema,
} from '../gen/carillon/v1/edge_pb.ts';
import { ErrorInfoSchema, RetryInfoSchema } from '../gen/google/rpc/error_details_pb.ts';

export type FrameInit = MessageInitShape<typeof SubscribeResponseSchema>['frame'];

/** Who calls, and where. */
export interface Caller {
  readonly url: string;
  readonly token: string;
}

/** What answers. Calls may throw ConnectErrors. */
export interface ModelEdge {
  subscribe(request: SubscribeRequest, stream: ModelStream, caller: Caller): void;
  ack(request: AckRequest, caller: Caller): Promise<number>;
  setActivity(request: SetActivityRequest, caller: Caller): void;
  reauthenticate(request: ReauthenticateRequest, caller: Caller): void;
  mark(request: MarkInboxRequest, caller: Caller): number;
  list(request: ListInboxRequest, caller: Caller): MessageInitShape<typeof ListInboxResponseSchema>;
}

/** An error as the mesh says it. */
export function meshError(reason: string, code: Code, retryAfterMs?: number): ConnectError {
  const error = new ConnectError(reason, code, undefined, [
    { desc: ErrorInfoSchema, value: { reason, domain: 'carillon' } },
  ]);
  if (retryAfterMs !== undefined) {
    const seconds = BigInt(Math.floor(retryAfterMs / 1_000));
    const nanos = Math.round((retryAfterMs % 1_000) * 1_000_000);
    error.details.push({ desc: RetryInfoSchema, value: { retryDelay: { seconds, nanos } } });
  }
  return error;
}

/** The edge's end of a stream. */
export class ModelStream implements AsyncIterableIterator<SubscribeResponse> {
  readonly signal: AbortSignal;
  over = false;
  #error: ConnectError | undefined;
  readonly #frames: SubscribeResponse[] = [];
  #wake: (() => void) | undefined;

  constructor(signal: AbortSignal) {
    this.signal = signal;
    signal.addEventListener('abort', () => this.end(new ConnectError('aborted', Code.Canceled)));
  }

  /** Frames that the client has not read. */
  get waiting(): number {
    return this.#frames.length;
  }

  send(frame: FrameInit): void {
    if (this.over) return;
    this.#frames.push(create(SubscribeResponseSchema, { frame }));
    this.#wake?.();
  }

  end(error?: ConnectError): void {
    if (this.over) return;
    this.over = true;
    this.#error = error;
    if (error) this.#frames.length = 0;
    this.#wake?.();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<SubscribeResponse>> {
    while (this.#frames.length === 0 && !this.over)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    const value = this.#frames.shift();
    if (value) return { done: false, value };
    if (this.#error) throw this.#error;
    return { done: true, value: undefined };
  }
}

type Unary = (input: unknown, caller: Caller) => Promise<unknown>;

function unaries(edge: ModelEdge): Record<string, Unary> {
  return {
    ack: async (input, caller) => {
      const acknowledged = await edge.ack(create(AckRequestSchema, input as AckRequest), caller);
      return create(AckResponseSchema, { acknowledged });
    },
    setActivity: async (input, caller) => {
      edge.setActivity(create(SetActivityRequestSchema, input as SetActivityRequest), caller);
      return create(SetActivityResponseSchema);
    },
    reauthenticate: async (input, caller) => {
      edge.reauthenticate(create(ReauthenticateRequestSchema, input as ReauthenticateRequest), caller);
      return create(ReauthenticateResponseSchema);
    },
    markInbox: async (input, caller) => {
      const marked = edge.mark(create(MarkInboxRequestSchema, input as MarkInboxRequest), caller);
      return create(MarkInboxResponseSchema, { marked });
    },
    listInbox: async (input, caller) =>
      create(
        ListInboxResponseSchema,
        edge.list(create(ListInboxRequestSchema, input as ListInboxRequest), caller),
      ),
  };
}

const tokenOf = (header: HeadersInit | undefined): string =>
  new Headers(header).get('authorization')?.replace(/^Bearer /, '') ?? '';

export function modelTransport(edge: ModelEdge): (url: string) => Transport {
  const calls = unaries(edge);
  return (url) => ({
    async unary(method, signal, _timeoutMs, header, input) {
      signal?.throwIfAborted();
      const message = (await calls[method.localName]!(input, {
        url,
        token: tokenOf(header),
      })) as MessageShape<typeof method.output>;
      signal?.throwIfAborted();
      const none = new Headers();
      return { stream: false, service: method.parent, method, header: none, trailer: none, message };
    },
    async stream(method, signal, _timeoutMs, header, input) {
      const first = await input[Symbol.asyncIterator]().next();
      const request = create(SubscribeRequestSchema, first.value as SubscribeRequest);
      const stream = new ModelStream(signal ?? new AbortController().signal);
      edge.subscribe(request, stream, { url, token: tokenOf(header) });
      const none = new Headers();
      // The model has one streaming method, so its messages are those of this one.
      const message = stream as unknown as AsyncIterable<MessageShape<typeof method.output>>;
      return { stream: true, service: method.parent, method, header: none, trailer: none, message };
    },
  });
}
