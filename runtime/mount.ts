// A service and what serves it, written once in Connect's shape, for both stacks; requests are validated before it sees them.
import type { DescService, MessageShape } from '@bufbuild/protobuf';
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import { validate, warmValidation } from './validation.ts';

export type Handler = (request: unknown, context: HandlerContext) => unknown;

export interface Mount {
  readonly desc: DescService;
  /** By the method's local name. */
  readonly handlers: Readonly<Record<string, Handler>>;
}

/**
 * Pairs a service with its implementation. Requests of unary and server-streaming methods are validated first, except
 * those in `validatesItself`; streams of requests validate each message themselves. A method without implementation
 * answers UNIMPLEMENTED.
 */
export function mount<S extends DescService>(
  desc: S,
  impl: Partial<ServiceImpl<S>>,
  { validatesItself = [] }: { validatesItself?: readonly (keyof S['method'])[] } = {},
): Mount {
  warmValidation(desc);
  const handlers: Record<string, Handler> = {};
  for (const method of desc.methods) {
    const implementation = impl[method.localName as keyof S['method']] as Handler | undefined;
    if (!implementation) continue;
    const handler = implementation.bind(impl);
    const single = method.methodKind === 'unary' || method.methodKind === 'server_streaming';
    handlers[method.localName] =
      single && !validatesItself.includes(method.localName as keyof S['method'])
        ? (request, context) => {
            validate(method.input, request as MessageShape<typeof method.input>);
            return handler(request, context);
          }
        : handler;
  }
  return { desc, handlers };
}
