// A service and what serves it, written once in Connect's shape, for both stacks. Who calls is known, and may, before a request is looked at.
import type { DescMethod, DescService, MessageShape } from '@bufbuild/protobuf';
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import { accessRule, checkAccess } from './access.ts';
import type { Authenticator } from './authenticator.ts';
import { type Principal, principalKey } from './identity.ts';
import { validate, warmValidation } from './validation.ts';

export type Handler = (request: unknown, context: HandlerContext) => unknown;

export interface Mount {
  readonly desc: DescService;
  /** By the method's local name. */
  readonly handlers: Readonly<Record<string, Handler>>;
}

export interface MountOptions<S extends DescService> {
  /** Says who calls; only services that anybody may call do without. */
  authenticator?: Authenticator;
  /** Methods whose handlers validate their requests themselves. */
  validatesItself?: readonly (keyof S['method'])[];
}

type Messages = AsyncIterable<unknown>;

/** The same messages, each after another look at who calls: a key that is revoked ends the stream as well. */
async function* watched(messages: Messages, permit: () => void | Promise<void>) {
  for await (const message of messages) {
    const asked = permit();
    if (asked) await asked;
    yield message;
  }
}

/** Replies that begin once it is known who calls. */
async function* afterwards(permitted: Promise<void>, replies: () => Messages) {
  await permitted;
  yield* replies();
}

/** Lets nobody through to `handler` but those for whom `runtime/access.ts` has a line. */
function guarded(method: DescMethod, handler: Handler, authenticator: Authenticator): Handler {
  const permit = (request: unknown, context: HandlerContext): void | Promise<void> => {
    const enter = (principal: Principal): void => {
      checkAccess(method, principal, request);
      context.values.set(principalKey, principal);
    };
    const principal = authenticator.authenticate(context.requestHeader);
    return principal instanceof Promise ? principal.then(enter) : enter(principal);
  };
  if (method.methodKind === 'unary')
    return (request, context) => {
      const permitted = permit(request, context);
      return permitted ? permitted.then(() => handler(request, context)) : handler(request, context);
    };
  // Links open with a token of the moment, and end when the connection does.
  const endless = accessRule(method).by === 'peer';
  const bidi = method.methodKind === 'bidi_streaming';
  return (request, context) => {
    const again = () => permit(request, context);
    const serve = (): Messages => {
      if (endless) return handler(request, context) as Messages;
      if (bidi) return handler(watched(request as Messages, again), context) as Messages;
      return watched(handler(request, context) as Messages, again);
    };
    const permitted = again();
    return permitted ? afterwards(permitted, serve) : serve();
  };
}

/** Requests of unary and server-streaming methods; streams of requests validate each message themselves. */
function validating(method: DescMethod, handler: Handler): Handler {
  return (request, context) => {
    validate(method.input, request as MessageShape<typeof method.input>);
    return handler(request, context);
  };
}

/**
 * Pairs a service with its implementation. A method without implementation answers UNIMPLEMENTED. Throws for a method that
 * asks who calls when there is nobody to say it.
 */
export function mount<S extends DescService>(
  desc: S,
  impl: Partial<ServiceImpl<S>>,
  { authenticator, validatesItself = [] }: MountOptions<S> = {},
): Mount {
  warmValidation(desc);
  const handlers: Record<string, Handler> = {};
  for (const method of desc.methods) {
    const implementation = impl[method.localName as keyof S['method']] as Handler | undefined;
    if (!implementation) continue;
    let handler = implementation.bind(impl);
    const single = method.methodKind === 'unary' || method.methodKind === 'server_streaming';
    if (single && !validatesItself.includes(method.localName as keyof S['method']))
      handler = validating(method, handler);
    if (accessRule(method).by !== 'anyone') {
      if (!authenticator)
        throw new Error(`${method.name} asks who calls, and its mount has nobody to say it`);
      handler = guarded(method, handler, authenticator);
    }
    handlers[method.localName] = handler;
  }
  return { desc, handlers };
}
