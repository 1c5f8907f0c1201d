// One descriptor for both stacks: what protobuf-es generated is served and called through grpc-js.
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodClientStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  isMessage,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import grpc from '@grpc/grpc-js';
import { wireMetadata } from './wire-errors.ts';

/** Unknown fields are dropped: 4 MiB of them, kept, blocked the loop for 0.57 s. */
const READ = { readUnknownFields: false } as const;

const encode = (schema: DescMessage, message: unknown): Buffer => {
  const bytes = toBinary(schema, message as MessageShape<DescMessage>);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
};

/** The definition of one method, for servers and clients of grpc-js. */
export function grpcMethod(method: DescMethod): grpc.MethodDefinition<unknown, unknown> {
  const { input, output, methodKind } = method;
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: methodKind === 'client_streaming' || methodKind === 'bidi_streaming',
    responseStream: methodKind === 'server_streaming' || methodKind === 'bidi_streaming',
    requestSerialize: (message) => encode(input, message),
    requestDeserialize: (bytes) => fromBinary(input, bytes, READ),
    responseSerialize: (message) => encode(output, message),
    responseDeserialize: (bytes) => fromBinary(output, bytes, READ),
  };
}

export function grpcService(desc: DescService): grpc.ServiceDefinition {
  return Object.fromEntries(desc.methods.map((method) => [method.localName, grpcMethod(method)]));
}

interface GrpcCallOptions {
  /** Cancels the call. */
  signal?: AbortSignal;
  /** Milliseconds from now until the call is given up; none when absent. */
  timeoutMs?: number;
  headers?: Readonly<Record<string, string>>;
}

type GrpcCall<M> =
  M extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: GrpcCallOptions) => Promise<MessageShape<O>>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? (
          request: MessageInitShape<I>,
          options?: GrpcCallOptions,
        ) => grpc.ClientReadableStream<MessageShape<O>>
      : M extends DescMethodBiDiStreaming<infer I, infer O>
        ? (options?: GrpcCallOptions) => grpc.ClientDuplexStream<MessageInitShape<I>, MessageShape<O>>
        : M extends DescMethodClientStreaming
          ? never
          : never;

export type GrpcClient<S extends DescService> = {
  readonly [K in keyof S['method']]: GrpcCall<S['method'][K]>;
} & {
  /** For connectivity states; closes with the client. */
  readonly channel: grpc.Client;
} & Disposable;

function cancelledBy(
  call: { cancel(): void; once(event: string, listener: () => void): unknown },
  signal?: AbortSignal,
) {
  if (!signal) return;
  const cancel = () => call.cancel();
  if (signal.aborted) return cancel();
  signal.addEventListener('abort', cancel, { once: true });
  call.once('status', () => signal.removeEventListener('abort', cancel));
}

export type GrpcClientOptions = grpc.ChannelOptions & {
  credentials?: grpc.ChannelCredentials;
  /** Of every call, such as `authorization`. */
  headers?: Readonly<Record<string, string>>;
};

/**
 * A client for `address` (`host:port`). Unary calls are promises; streams are grpc-js's own, whose `write` says when to
 * wait. Calls reject with grpc-js's ServiceError; `carillonError` reads the reason out of it.
 */
export function grpcClient<S extends DescService>(
  desc: S,
  address: string,
  options: GrpcClientOptions = {},
): GrpcClient<S> {
  const { credentials = grpc.credentials.createInsecure(), headers: always, ...channelOptions } = options;
  const channel = new grpc.Client(address, credentials, channelOptions);
  const start = ({ headers, timeoutMs }: GrpcCallOptions) =>
    [
      wireMetadata(always ? { ...always, ...headers } : headers),
      timeoutMs === undefined ? {} : { deadline: performance.timeOrigin + performance.now() + timeoutMs },
    ] as const;
  const client: Record<string, unknown> = { channel, [Symbol.dispose]: () => channel.close() };
  for (const method of desc.methods) {
    const { path, requestSerialize: out, responseDeserialize: back } = grpcMethod(method);
    const message = (request: unknown) => create(method.input, request as MessageInitShape<DescMessage>);
    if (method.methodKind === 'unary')
      client[method.localName] = (request: unknown, call: GrpcCallOptions = {}) =>
        new Promise((resolve, reject) => {
          const made = channel.makeUnaryRequest(
            path,
            out,
            back,
            message(request),
            ...start(call),
            (error, reply) => (error ? reject(error) : resolve(reply)),
          );
          cancelledBy(made, call.signal);
        });
    else if (method.methodKind === 'server_streaming')
      client[method.localName] = (request: unknown, call: GrpcCallOptions = {}) => {
        const made = channel.makeServerStreamRequest(path, out, back, message(request), ...start(call));
        cancelledBy(made, call.signal);
        return made;
      };
    else if (method.methodKind === 'bidi_streaming')
      client[method.localName] = (call: GrpcCallOptions = {}) => {
        const made = channel.makeBidiStreamRequest(
          path,
          (request: unknown) => out(isMessage(request, method.input) ? request : message(request)),
          back,
          ...start(call),
        );
        cancelledBy(made, call.signal);
        return made;
      };
  }
  return client as unknown as GrpcClient<S>;
}
