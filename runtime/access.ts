// The one table that says what each method asks of its caller. A method without a line here does not compile, and is not served.
import type { DescMethod, DescService, MessageShape } from '@bufbuild/protobuf';
import { AdminService } from '../gen/carillon/v1/admin_pb.ts';
import { EdgeLinkService } from '../gen/carillon/v1/edge_link_pb.ts';
import { EdgeService } from '../gen/carillon/v1/edge_pb.ts';
import { IngestService } from '../gen/carillon/v1/ingest_pb.ts';
import { RouterService } from '../gen/carillon/v1/router_pb.ts';
import { Health } from '../gen/grpc/health/v1/health_pb.ts';
import { ServerReflection } from '../gen/grpc/reflection/v1/reflection_pb.ts';
import { CarillonError } from './errors.ts';
import type { Principal } from './identity.ts';

export type Rule<Request = never> =
  /** Nobody has to say who they are. */
  | { readonly by: 'anyone' }
  /** A user, who is given their own things and no others. */
  | { readonly by: 'user' }
  /** A backend with one of the scopes; the first is the one that an error names. */
  | { readonly by: 'backend'; readonly scopes: readonly string[] }
  /** Such a backend, or the user whom the request is about; '' is the caller. */
  | { readonly by: 'either'; readonly scopes: readonly string[]; whose(request: Request): string }
  /** Another process of the mesh. */
  | { readonly by: 'peer' };

type Rules<S extends DescService> = {
  readonly [M in keyof S['method']]: Rule<MessageShape<S['method'][M]['input']>>;
};

const anyone = { by: 'anyone' } as const;
const user = { by: 'user' } as const;
const backend = (...scopes: readonly [string, ...string[]]) => ({ by: 'backend', scopes }) as const;
const aboutUser = (...scopes: readonly [string, ...string[]]) =>
  ({ by: 'either', scopes, whose: ({ userId }: { userId: string }) => userId }) as const;

const ingest: Rules<typeof IngestService> = {
  send: backend('notifications:send'),
  sendBatch: backend('notifications:send'),
  publish: backend('notifications:send'),
  cancel: backend('notifications:send'),
  getNotification: backend('notifications:read'),
  watchNotification: backend('notifications:read'),
  explain: backend('notifications:read'),
};

/** `admin:*` opens all of it. */
const admin: Rules<typeof AdminService> = {
  putUser: backend('users:write', 'admin:users'),
  getUser: backend('users:read', 'admin:users'),
  listProviders: backend('admin:providers'),
  putProvider: backend('admin:providers'),
  deleteProvider: backend('admin:providers'),
  testProvider: backend('admin:providers'),
  rotateProviderKeys: backend('admin:providers'),
  listDeadLetters: backend('admin:dead-letters'),
  replayDeadLetters: backend('admin:dead-letters'),
  listSandboxMessages: backend('admin:sandbox'),
  createToken: backend('tokens:create', 'admin:tokens'),
  revokeTokens: backend('tokens:revoke', 'admin:tokens'),
  createApiKey: backend('admin:keys'),
  listApiKeys: backend('admin:keys'),
  revokeApiKey: backend('admin:keys'),
  putCategory: backend('admin:categories'),
  listCategories: backend('admin:categories'),
  deleteCategory: backend('admin:categories'),
};

const edge: Rules<typeof EdgeService> = {
  subscribe: user,
  ack: user,
  listInbox: user,
  markInbox: user,
  registerDevice: user,
  setActivity: user,
  reauthenticate: user,
};

const router: Rules<typeof RouterService> = {
  locate: aboutUser('presence:read', 'admin:presence'),
  getPresence: aboutUser('presence:read', 'admin:presence'),
  listEdges: backend('admin:edges'),
};

const link: Rules<typeof EdgeLinkService> = { deliver: { by: 'peer' } };
const health: Rules<typeof Health> = { check: anyone, watch: anyone };
const reflection: Rules<typeof ServerReflection> = { serverReflectionInfo: anyone };

const table = new Map<DescService, Readonly<Record<string, Rule>>>([
  [IngestService, ingest],
  [AdminService, admin],
  [EdgeService, edge],
  [RouterService, router],
  [EdgeLinkService, link],
  [Health, health],
  [ServerReflection, reflection],
]);

/** Everything that is served. */
export const services: readonly DescService[] = [...table.keys()];

/** What `method` asks for. Throws for a method that has no line in the table. */
export function accessRule({ parent, localName, name }: DescMethod): Rule {
  const rule = table.get(parent)?.[localName];
  if (!rule) throw new Error(`${parent.typeName}/${name} has no line in runtime/access.ts`);
  return rule;
}

/** Every scope that some method asks for. */
export const knownScopes: readonly string[] = [
  ...new Set(
    [...table.values()]
      .flatMap((rules) => Object.values(rules))
      .flatMap((rule) => ('scopes' in rule ? rule.scopes : [])),
  ),
].sort();

/** Whether a scope that was given opens one that is asked for: the same, `area:*`, or `*`. */
export function permits(given: string, asked: string): boolean {
  if (given === '*' || given === asked) return true;
  return given.endsWith(':*') && asked.startsWith(given.slice(0, -1));
}

/** Whether it opens anything at all; a name that was mistyped does not. */
export const isKnownScope = (scope: string): boolean => knownScopes.some((asked) => permits(scope, asked));

function denied(method: DescMethod, because: string): CarillonError {
  return new CarillonError('PERMISSION_DENIED', `${method.name} ${because}`);
}

/** Throws PERMISSION_DENIED, with what is missing, when `principal` may not make this call. */
export function checkAccess(method: DescMethod, principal: Principal, request: unknown): void {
  const rule = accessRule(method);
  if (rule.by === 'anyone') return;
  if (rule.by === 'peer') {
    if (principal.kind !== 'peer') throw denied(method, 'is for the processes of the mesh alone.');
    return;
  }
  if (rule.by === 'user') {
    if (principal.kind !== 'user')
      throw denied(
        method,
        "is for users: call it with a user's token, such as carillon tokens create makes.",
      );
    return;
  }
  if (principal.kind === 'backend') {
    if (rule.scopes.some((asked) => principal.scopes.some((given) => permits(given, asked)))) return;
    throw denied(method, `asks for the scope ${rule.scopes[0]}, which this key or token does not have.`);
  }
  if (principal.kind === 'user' && rule.by === 'either') {
    // The guard hands over the request of the method that the rule was written for.
    const whose = rule.whose(request as never);
    if (whose === '' || whose === principal.userId) return;
    throw denied(method, `tells a user about themselves alone; others are for the scope ${rule.scopes[0]}.`);
  }
  throw denied(
    method,
    `is for backends: call it with an API key or a token that has the scope ${rule.scopes[0]}.`,
  );
}
