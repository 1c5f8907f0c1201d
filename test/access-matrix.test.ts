// Every method, as anybody: who is let in, and who is told that they may not. A method without a row fails.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  create,
  type DescFile,
  type DescMessage,
  type DescMethod,
  type DescService,
  type MessageInitShape,
  toBinary,
} from '@bufbuild/protobuf';
import { createHandlerContext, type ServiceImpl } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AdminService } from '../gen/carillon/v1/admin_pb.ts';
import { EdgeLinkService } from '../gen/carillon/v1/edge_link_pb.ts';
import { EdgeService } from '../gen/carillon/v1/edge_pb.ts';
import { IngestService } from '../gen/carillon/v1/ingest_pb.ts';
import { RouterService } from '../gen/carillon/v1/router_pb.ts';
import { Health } from '../gen/grpc/health/v1/health_pb.ts';
import { ServerReflection } from '../gen/grpc/reflection/v1/reflection_pb.ts';
import { knownScopes, services } from '../runtime/access.ts';
import { bearer } from '../runtime/bearer.ts';
import { CarillonError } from '../runtime/errors.ts';
import { linkAuthenticator } from '../runtime/link-token.ts';
import { mount } from '../runtime/mount.ts';
import { allWires, callOver, type Wire } from './attacks/wires.ts';
import { type RunningMesh, startRunningMesh } from './support/running-mesh.ts';
import { backendToken, type TestTokens, testTokens, userToken } from './support/tokens.ts';

const UUID = '0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee';

/** `user`: about themselves. `peer`: a process of the mesh. Otherwise the scope that opens it for a backend. */
interface Row {
  readonly method: DescMethod;
  readonly user: boolean;
  readonly scope: string | undefined;
  readonly anyone: boolean;
  readonly peer: boolean;
  /** A request that is sound and ends by itself when it is let in. */
  readonly request: Record<string, unknown>;
}

type Way = { user?: boolean; scope?: string; anyone?: boolean; peer?: boolean };

function row<D extends DescMessage>(
  method: DescMethod & { input: D },
  { user = false, scope, anyone = false, peer = false }: Way,
  request: MessageInitShape<D>,
): Row {
  return { method, user, scope, anyone, peer, request: request as Record<string, unknown> };
}

const I = IngestService.method;
const A = AdminService.method;
const E = EdgeService.method;
const R = RouterService.method;
const notification = {
  audience: { kind: { case: 'users' as const, value: { ids: ['somebody'] } } },
  content: { title: 'Hello' },
};
const notificationId = UUID;

const rows: readonly Row[] = [
  row(I.send, { scope: 'notifications:send' }, { notification }),
  row(I.sendBatch, { scope: 'notifications:send' }, { sends: [{ notification }] }),
  row(I.publish, { scope: 'notifications:send' }, { batch: 1, sends: [{ notification }] }),
  row(I.cancel, { scope: 'notifications:send' }, { notificationId }),
  row(I.getNotification, { scope: 'notifications:read' }, { notificationId }),
  row(I.watchNotification, { scope: 'notifications:read' }, { notificationId }),
  row(I.explain, { scope: 'notifications:read' }, { notificationId, userId: 'ada' }),
  row(A.putUser, { scope: 'users:write' }, { user: { id: 'ada' } }),
  row(A.getUser, { scope: 'users:read' }, { userId: 'ada' }),
  row(A.listProviders, { scope: 'admin:providers' }, {}),
  row(A.putProvider, { scope: 'admin:providers' }, { kind: 'sandbox', channel: 4 }),
  row(A.deleteProvider, { scope: 'admin:providers' }, { name: 'sandbox', channel: 4 }),
  row(A.testProvider, { scope: 'admin:providers' }, { name: 'none', address: '+41441234567' }),
  row(A.rotateProviderKeys, { scope: 'admin:providers' }, {}),
  row(A.listDeadLetters, { scope: 'admin:dead-letters' }, {}),
  row(A.replayDeadLetters, { scope: 'admin:dead-letters' }, { ids: [UUID] }),
  row(A.listSandboxMessages, { scope: 'admin:sandbox' }, {}),
  row(A.createToken, { scope: 'tokens:create' }, { userId: 'nobody-else' }),
  row(A.revokeTokens, { scope: 'tokens:revoke' }, { userId: 'nobody-else' }),
  row(A.createApiKey, { scope: 'admin:keys' }, { name: 'k', scopes: ['admin:keys'] }),
  row(A.listApiKeys, { scope: 'admin:keys' }, {}),
  row(A.revokeApiKey, { scope: 'admin:keys' }, { id: UUID }),
  row(A.putCategory, { scope: 'admin:categories' }, { category: { id: 'c' } }),
  row(A.listCategories, { scope: 'admin:categories' }, {}),
  row(A.deleteCategory, { scope: 'admin:categories' }, { id: 'c' }),
  row(E.subscribe, { user: true }, { cursor: 'none' }),
  row(E.ack, { user: true }, { after: 0, upto: 1 }),
  row(E.listInbox, { user: true }, {}),
  row(E.markInbox, { user: true }, { mark: 1, upto: 1 }),
  row(E.registerDevice, { user: true }, { deviceId: 'd', platform: 4, token: 't' }),
  row(E.setActivity, { user: true }, { sessionId: 'none', activity: 1 }),
  row(E.reauthenticate, { user: true }, { sessionId: 'none' }),
  row(R.locate, { user: true, scope: 'presence:read' }, { userId: 'ada' }),
  row(R.getPresence, { user: true, scope: 'presence:read' }, { userId: 'ada' }),
  row(R.listEdges, { scope: 'admin:edges' }, {}),
  row(EdgeLinkService.method.deliver, { peer: true }, {}),
  row(Health.method.check, { anyone: true }, {}),
  row(Health.method.watch, { anyone: true }, {}),
  row(ServerReflection.method.serverReflectionInfo, { anyone: true }, {}),
];

const nameOf = ({ parent, name }: DescMethod): string => `${parent.typeName}/${name}`;
const named = rows.map((each) => ({ name: nameOf(each.method), ...each }));

test('there is one row for every method of every service in the schema', async () => {
  const directory = join(import.meta.dirname, '../gen/carillon/v1');
  const described = new Set(services.flatMap(({ methods }) => methods.map(nameOf)));
  for (const file of readdirSync(directory)) {
    const generated: Record<string, unknown> = await import(join(directory, file));
    for (const each of Object.values(generated))
      if ((each as DescFile).kind === 'file')
        for (const service of (each as DescFile).services)
          for (const method of service.methods) described.add(nameOf(method));
  }
  expect(named.map(({ name }) => name).sort()).toEqual([...described].sort());
});

/** Whose call it is; a scope is that of the row. */
const callers = {
  nobody: () => ({}),
  'the user': () => userToken('ada').then(bearer),
  'another user': () => userToken('eve').then(bearer),
  'the user of another tenant': () => userToken('ada', { tenant: 'other' }).then(bearer),
  'a backend with the scope': (scope = 'notifications:send') =>
    backendToken({ scopes: [scope] }).then(bearer),
  'a backend with its whole area': (scope = 'notifications:send') =>
    backendToken({ scopes: [scope.replace(/:.*/, ':*')] }).then(bearer),
  'a backend with every other scope': (scope = '') => {
    // `admin:` scopes open the AdminService beside the ones that are named for what they open.
    const others = knownScopes.filter((each) => each !== scope && !each.startsWith('admin:'));
    return backendToken({ scopes: others }).then(bearer);
  },
  'a backend of another tenant': (scope = 'notifications:send') =>
    backendToken({ tenant: 'other', scopes: [scope] }).then(bearer),
} satisfies Record<string, (scope?: string) => object | Promise<object>>;
type Caller = keyof typeof callers;
const callerNames = Object.keys(callers) as Caller[];

/** What must be said: let in, or the reason. */
function expected({ user, scope, anyone, peer, request }: Row, caller: Caller): string {
  if (anyone) return 'let in';
  if (caller === 'nobody') return 'UNAUTHENTICATED';
  if (peer) return 'PERMISSION_DENIED';
  const aboutAda = 'userId' in request;
  switch (caller) {
    case 'the user':
    case 'the user of another tenant':
      return user ? 'let in' : 'PERMISSION_DENIED';
    case 'another user':
      return user && !(aboutAda && scope) ? 'let in' : 'PERMISSION_DENIED';
    case 'a backend with every other scope':
      return 'PERMISSION_DENIED';
    default:
      return scope === undefined ? 'PERMISSION_DENIED' : 'let in';
  }
}

const REFUSALS = new Set(['UNAUTHENTICATED', 'PERMISSION_DENIED', 'TOKEN_EXPIRED', 'TOKEN_REVOKED']);

describe('the guard of a mount', () => {
  let tokens: TestTokens;
  beforeAll(async () => {
    tokens = await testTokens();
  });

  /** Calls the method of a service whose every method says where it was. */
  async function call({ method, request }: Row, headers: object): Promise<string> {
    const reached = method.methodKind === 'unary' ? () => ({}) : async function* () {};
    const impl = { [method.localName]: reached } as unknown as Partial<ServiceImpl<DescService>>;
    const { handlers } = mount(method.parent, impl, { authenticator: tokens.authenticator });
    const context = createHandlerContext({
      service: method.parent,
      method,
      protocolName: 'connect',
      requestMethod: 'POST',
      url: 'http://localhost',
      requestHeader: new Headers(headers as Record<string, string>),
    });
    const message = create(method.input, request);
    async function* messages() {
      yield message;
    }
    try {
      const bidi = method.methodKind === 'bidi_streaming';
      const answer = handlers[method.localName]?.(bidi ? messages() : message, context);
      if (method.methodKind === 'unary') await answer;
      else for await (const _reply of answer as AsyncIterable<unknown>);
      return 'let in';
    } catch (error) {
      if (error instanceof CarillonError) return error.reason;
      throw error;
    }
  }

  test.each(named)('$name', async (each) => {
    const said: Record<string, string> = {};
    const wanted: Record<string, string> = {};
    for (const caller of callerNames) {
      said[caller] = await call(each, await callers[caller](each.scope));
      wanted[caller] = expected(each, caller);
    }
    expect(said).toEqual(wanted);
  });

  test('a mount of methods that ask who calls does not come about without somebody to say it', () => {
    expect(() => mount(IngestService, { send: () => ({}) })).toThrow(/nobody to say it/);
    expect(() => mount(Health, { check: () => ({}) })).not.toThrow();
  });

  test('a link is for processes of the mesh', async () => {
    const authenticator = linkAuthenticator({ secret: 'x'.repeat(32), nowMs: () => 0 });
    const { handlers } = mount(EdgeLinkService, { async *deliver() {} }, { authenticator });
    const context = createHandlerContext({
      service: EdgeLinkService,
      method: EdgeLinkService.method.deliver,
      protocolName: 'grpc',
      requestMethod: 'POST',
      url: 'http://localhost',
      requestHeader: new Headers(bearer(await userToken('ada'))),
    });
    const replies = handlers.deliver?.([], context) as AsyncIterable<unknown>;
    await expect(
      (async () => {
        for await (const _reply of replies);
      })(),
    ).rejects.toMatchObject({ reason: 'UNAUTHENTICATED' });
  });
});

describe('a mesh that runs', () => {
  let mesh: RunningMesh;
  beforeAll(async () => {
    mesh = await startRunningMesh();
  }, 60_000);
  afterAll(() => mesh?.[Symbol.asyncDispose]());

  const ports: Record<string, string> = {
    [IngestService.typeName]: 'ingest',
    [AdminService.typeName]: 'ingest',
    [EdgeService.typeName]: 'edge',
    [RouterService.typeName]: 'router',
  };
  const wires = allWires.filter(({ name }) => name === 'connect on HTTP/1' || name === 'grpc on HTTP/2');

  async function call(wire: Wire, { method, request }: Row, headers: object): Promise<string> {
    const { code, reason } = await callOver(wire, {
      address: mesh.process.addresses[ports[method.parent.typeName] ?? ''] ?? '',
      path: `/${nameOf(method)}`,
      streaming: method.methodKind !== 'unary',
      message: toBinary(method.input, create(method.input, request)),
      headers: headers as Record<string, string>,
    });
    if (code === undefined) return 'no answer';
    return reason !== undefined && REFUSALS.has(reason) ? reason : 'let in';
  }

  // Links have a port of their own; health and reflection are asked without a token by every other test.
  const served = named.filter(({ method }) => ports[method.parent.typeName]);
  test.each(served)('$name', async (each) => {
    const said: Record<string, string> = {};
    const wanted: Record<string, string> = {};
    for (const wire of wires) {
      if (each.method.methodKind === 'bidi_streaming' && wire.http === 1) continue;
      for (const caller of callerNames) {
        said[`${caller}, ${wire.name}`] = await call(wire, each, await callers[caller](each.scope));
        wanted[`${caller}, ${wire.name}`] = expected(each, caller);
      }
    }
    expect(said).toEqual(wanted);
  });
});
