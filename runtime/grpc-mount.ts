// Serves a mount on grpc-js with the handlers that Connect serves too; a handler waits for a slow reader.
import {
  create,
  type DescMessage,
  type DescMethod,
  isMessage,
  type MessageInitShape,
} from '@bufbuild/protobuf';
import type grpc from '@grpc/grpc-js';
import { CarillonError } from './errors.ts';
import { GrpcContext, type ServerCall } from './grpc-context.ts';
import { grpcMethod } from './grpc-service.ts';
import type { Log } from './log.ts';
import type { Handler, Mount } from './mount.ts';
import { toGrpcStatus } from './wire-errors.ts';

export interface GrpcMountOptions {
  /** Aborts when the port closes: streams end by it. Its reason is what they answer. */
  shutdown: AbortSignal;
  log: Log;
}

/** Bytes that were not a message. grpc-js would answer INTERNAL and no reason, so the handler answers for it. */
class Malformed {
  readonly error: CarillonError;
  constructor(cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    this.error = new CarillonError('INVALID_REQUEST', `The bytes are no message of this method: ${why}`);
  }
}

interface WritableCall extends ServerCall {
  readonly destroyed: boolean;
  write(message: unknown): boolean;
  end(metadata?: grpc.Metadata): void;
  emit(event: 'error', error: unknown): boolean;
  once(event: string, listener: () => void): unknown;
  removeListener(event: string, listener: () => void): unknown;
}

type ReadableCall = WritableCall & {
  iterator(options: { destroyOnReturn: boolean }): AsyncIterableIterator<unknown>;
};

const messageOf = (schema: DescMessage, value: unknown): unknown =>
  isMessage(value, schema) ? value : create(schema, value as MessageInitShape<DescMessage>);

function serveUnary(method: DescMethod, handler: Handler, { shutdown, log }: GrpcMountOptions) {
  return async (call: ServerCall & { request: unknown }, answer: grpc.sendUnaryData<unknown>) => {
    try {
      if (call.request instanceof Malformed) throw call.request.error;
      const context = new GrpcContext(call, method, shutdown);
      const reply = messageOf(method.output, await handler(call.request, context));
      context.flushHeaders();
      answer(null, reply, context.trailers);
    } catch (error) {
      answer(toGrpcStatus(error, log));
    }
  };
}

/** Resolves when `call` takes more, or is over. */
function writable(call: WritableCall): Promise<void> {
  return new Promise((resolve) => {
    if (call.cancelled || call.destroyed) return resolve();
    const done = () => {
      for (const event of ['drain', 'close', 'cancelled']) call.removeListener(event, done);
      resolve();
    };
    for (const event of ['drain', 'close', 'cancelled']) call.once(event, done);
  });
}

async function respond(
  call: WritableCall,
  context: GrpcContext,
  schema: DescMessage,
  replies: AsyncIterable<unknown>,
  log: Log,
): Promise<void> {
  try {
    let first = true;
    for await (const reply of replies) {
      if (first) context.flushHeaders();
      first = false;
      if (call.cancelled) return;
      if (!call.write(messageOf(schema, reply))) await writable(call);
      if (call.cancelled) return;
    }
    call.end(context.trailers);
  } catch (error) {
    if (!call.cancelled) call.emit('error', toGrpcStatus(error, log));
  }
}

async function* requestsOf(call: ReadableCall): AsyncGenerator<unknown> {
  // Destroying the readable half would take the answer with it.
  for await (const request of call.iterator({ destroyOnReturn: false })) {
    if (request instanceof Malformed) throw request.error;
    yield request;
  }
}

function serveStream(method: DescMethod, handler: Handler, { shutdown, log }: GrpcMountOptions) {
  return (call: ReadableCall & { request: unknown }) => {
    if (call.request instanceof Malformed) return call.emit('error', toGrpcStatus(call.request.error, log));
    const context = new GrpcContext(call, method, shutdown);
    const request = method.methodKind === 'bidi_streaming' ? requestsOf(call) : call.request;
    let replies: AsyncIterable<unknown>;
    try {
      replies = handler(request, context) as AsyncIterable<unknown>;
    } catch (error) {
      return call.emit('error', toGrpcStatus(error, log));
    }
    void respond(call, context, method.output, replies, log);
  };
}

function unimplemented(method: DescMethod): Handler {
  return () => {
    throw new CarillonError('UNSUPPORTED', `${method.parent.typeName}/${method.name} is not implemented.`);
  };
}

/** Adds the mount's service to a grpc-js server. */
export function addGrpcMount(
  server: grpc.Server,
  { desc, handlers }: Mount,
  options: GrpcMountOptions,
): void {
  const definition: Record<string, grpc.MethodDefinition<unknown, unknown>> = {};
  const implementation: Record<string, unknown> = {};
  for (const method of desc.methods) {
    const bridge = grpcMethod(method);
    const handler = handlers[method.localName] ?? unimplemented(method);
    if (method.methodKind === 'client_streaming')
      throw new Error(`${method.name}: not a kind that is used here`);
    definition[method.localName] = {
      ...bridge,
      requestDeserialize(bytes) {
        try {
          return bridge.requestDeserialize(bytes);
        } catch (error) {
          return new Malformed(error);
        }
      },
    };
    implementation[method.localName] =
      method.methodKind === 'unary'
        ? serveUnary(method, handler, options)
        : serveStream(method, handler, options);
  }
  server.addService(definition, implementation as grpc.UntypedServiceImplementation);
}
