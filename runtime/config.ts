// Every setting of the mesh: one schema from which validation, the documentation and `config show` are made.
import { z } from 'zod';
import { parseKey } from './envelope.ts';
import { limits } from './limits.ts';
import { isNetwork } from './network.ts';

interface SettingMeta {
  /** What it is, as a sentence; a line of docs/configuration.md. */
  description: string;
  /** What the default amounts to, when it cannot be printed as a value. */
  fallback?: string;
  example: string;
  /** What is hidden when it is shown: the password inside a URL, or all of it. */
  secret?: 'url' | 'all';
  group: string;
}

declare module 'zod' {
  interface GlobalMeta extends Partial<SettingMeta> {}
}

const text = z.string().trim().min(1);

function url(protocols: readonly string[]) {
  const said = protocols.map((protocol) => `${protocol}//`).join(' or ');
  return text.refine((value) => URL.canParse(value) && protocols.includes(new URL(value).protocol), {
    error: `must be a URL that begins with ${said}`,
  });
}

const port = z
  .union([z.number(), z.string().regex(/^\d+$/).transform(Number)], { error: 'must be a port number' })
  .pipe(
    z
      .int('must be a port number')
      .max(65_535, 'must be a port from 0 to 65535')
      .min(0, 'must be a port from 0 to 65535'),
  );

const weight = z
  .union([z.number(), z.string().regex(/^\d+$/).transform(Number)], { error: 'must be a whole number' })
  .pipe(
    z
      .int('must be a whole number')
      .min(1, 'must be at least 1')
      .max(limits.ringWeightMax, `must be at most ${limits.ringWeightMax}`),
  );

const zone = text.regex(/^[\w.:/-]{1,64}$/, 'must be a name of at most 64 letters, digits, and . _ : / -');

const hostPort = text.regex(/^(\[[0-9a-fA-F:]+\]|[^\s:[\]/]+):\d{1,5}$/, 'must be host:port');

const list = (value: unknown) =>
  typeof value === 'string'
    ? value
        .split(',')
        .map((part) => part.trim())
        .filter(Boolean)
    : value;

const atLeastOne = z
  .union([z.number(), z.string().regex(/^\d+$/).transform(Number)], { error: 'must be a whole number' })
  .pipe(z.int('must be a whole number').min(1, 'must be at least 1'));

const networks = z.preprocess(
  list,
  z.array(text.refine(isNetwork, { error: 'must be addresses or networks such as 10.0.0.0/8' })),
);

const brokers = z.preprocess(list, z.array(hostPort, { error: 'must be host:port,host:port' }).min(1));

const audiences = z.preprocess(list, z.array(text).min(1));

const UNIT_MS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of `250ms`, `5s`, `1m`, `1h`, `7d`; undefined when it is none of these. */
export function durationMs(written: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(written.trim());
  return match ? Math.round(Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? 0)) : undefined;
}

const milliseconds = z.union([z.number(), text]).transform((value, context) => {
  const ms = typeof value === 'number' ? value : /^\d+$/.test(value) ? Number(value) : durationMs(value);
  if (ms !== undefined && Number.isSafeInteger(ms) && ms >= 0) return ms;
  context.addIssue({
    code: 'custom',
    message: 'must be milliseconds, or durations such as 250ms, 30s, 5m, 1h',
  });
  return z.NEVER;
});

const retrySchedule = z.preprocess(list, z.array(milliseconds).min(1).max(limits.providerRetriesCount));

const days = z
  .union([z.number(), z.string().regex(/^\d+$/).transform(Number)], { error: 'must be a number of days' })
  .pipe(
    z
      .int('must be whole days')
      .min(
        limits.retentionLeastDays,
        `must be at least ${limits.retentionLeastDays} days: so far ahead may be sent, and kept trying`,
      ),
  );

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/;

/** Nobody but this machine reaches it. */
export const isLoopback = (host: string): boolean => LOOPBACK.test(host);

const host = text.regex(/^[A-Za-z0-9.:_-]+$/, 'must be an address or the name of this host, without a port');

const secret = text.refine((value) => Buffer.byteLength(value) >= limits.secretLeastBytes, {
  error: `must be at least ${limits.secretLeastBytes} bytes, at random: openssl rand -base64 48 makes one`,
});

const masterKey = text.refine((value) => parseKey(value) !== undefined, {
  error: 'must be 32 random bytes in base64: openssl rand -base64 32 makes them',
});

const masterKeys = z.preprocess(list, z.array(masterKey).min(1));

/** Whoever is on the way could put in keys of their own. */
const jwksUrl = url(['https:', 'http:'])
  .refine(
    (value) =>
      !URL.canParse(value) ||
      new URL(value).protocol === 'https:' ||
      isLoopback(new URL(value).hostname.replace(/^\[|\]$/g, '')),
    { error: 'must begin with https:// unless it is on this machine' },
  )
  .refine((value) => !URL.canParse(value) || new URL(value).username + new URL(value).password === '', {
    error: 'must hold no user and no password: key sets are public',
  });

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

const stores = 'Stores';
const addresses = 'Addresses';
const access = 'Access';
const delivery = 'Delivery';
const tls = 'TLS';
const operation = 'Operation';

/** The keys are those of `carillon.config.json`; `environmentName` gives each its name in the environment. */
export const configSchema = z.strictObject({
  postgresUrl: url(['postgres:', 'postgresql:']).optional().meta({
    group: stores,
    secret: 'url',
    description: 'PostgreSQL, where everything is kept.',
    fallback: 'an embedded PostgreSQL in the data directory',
    example: 'postgres://carillon:secret@db.internal:5432/carillon',
  }),
  retentionDays: days.default(limits.retentionDays).meta({
    group: stores,
    description:
      'How long notifications, their deliveries and inbox items are kept, in days; they go a week at a time.',
    fallback: `\`${limits.retentionDays}\``,
    example: '730',
  }),
  kafkaBrokers: brokers.optional().meta({
    group: stores,
    description: 'Kafka, which carries the event log.',
    fallback: 'the event log is kept in PostgreSQL',
    example: 'kafka-1:9092,kafka-2:9092',
  }),
  redisUrl: url(['redis:', 'rediss:']).optional().meta({
    group: stores,
    secret: 'url',
    description:
      'Redis, which tells routers where edges and users are. Needed when edge and router run in different processes.',
    fallback: 'kept in the memory of the one process',
    example: 'redis://localhost:6379',
  }),
  dataDir: text.default('.carillon').meta({
    group: stores,
    description: 'Where the embedded PostgreSQL keeps its data.',
    example: '/var/lib/carillon',
  }),
  host: host.default('127.0.0.1').meta({
    group: addresses,
    description:
      'The address that every port listens on. One that other machines reach needs CARILLON_JWT_SECRET or CARILLON_JWT_JWKS_URL.',
    example: '0.0.0.0',
  }),
  ingestPort: port.default(7100).meta({
    group: addresses,
    description: 'Backends: gRPC, Connect and JSON. 0 picks a free port; so it does for every port.',
    example: '0',
  }),
  edgePort: port.default(7200).meta({
    group: addresses,
    description: 'Clients: Connect, gRPC-Web and gRPC.',
    example: '7200',
  }),
  linkPort: port.default(7201).meta({
    group: addresses,
    description:
      'Where an edge waits for the links of routers; used when edge and router run in different processes.',
    example: '7201',
  }),
  edgeAdvertise: hostPort.optional().meta({
    group: addresses,
    description: 'The `host:port` under which routers reach the links of this edge.',
    fallback: 'HOST and LINK_PORT',
    example: 'edge-1.internal:7201',
  }),
  edgeUrl: url(['http:', 'https:']).optional().meta({
    group: addresses,
    description:
      'Where clients reach this edge by itself, so that those of its users can be sent to it. Not the address that all edges share.',
    fallback: 'on loopback: where it listens; elsewhere clients are served where they come',
    example: 'https://edge-1.example.com',
  }),
  edgeWeight: weight.default(1).meta({
    group: addresses,
    description: `So many times the users of an edge of weight 1 belong to this edge, 1 to ${limits.ringWeightMax}.`,
    example: '2',
  }),
  zone: zone.optional().meta({
    group: addresses,
    description: 'Where this process runs, such as a data centre; `carillon edges` shows it.',
    fallback: 'not said',
    example: 'eu-west-1a',
  }),
  edgeReconnectsPerSecond: atLeastOne.default(limits.reconnectsPerSecond).meta({
    group: addresses,
    description:
      'How many of its clients one edge asks to reconnect in a second: when it stops, when connections are old, when users move to another edge.',
    example: '200',
  }),
  edgeStreamsPerAddress: atLeastOne.default(limits.streamsPerAddressCount).meta({
    group: addresses,
    description:
      'How many streams one edge keeps open for one client address (of IPv6: for its /64). This machine is not counted.',
    example: '100',
  }),
  trustedProxies: networks.default(['127.0.0.0/8', '::1']).meta({
    group: addresses,
    description:
      'Addresses and networks of the proxies before the edges whose `x-forwarded-for` is believed. One that names nobody is not counted.',
    example: '127.0.0.0/8,::1,10.0.0.0/8',
  }),
  routerPort: port.default(7300).meta({
    group: addresses,
    description: 'Where users and edges are: gRPC, Connect and JSON.',
    example: '7300',
  }),
  webhookPort: port.default(7400).meta({
    group: addresses,
    description:
      'Kept for the receipts of providers. Nothing listens on it yet, so that what a provider answered to the call is the last that is known.',
    example: '7400',
  }),
  opsPort: port.default(7000).meta({
    group: addresses,
    description: 'HTTP: `/healthz`, `/readyz`, `/metrics`.',
    example: '7000',
  }),
  jwtSecret: secret.optional().meta({
    group: access,
    secret: 'all',
    description:
      'Checks the tokens of clients and backends that are signed with HS256, HS384 or HS512, and signs those of `carillon tokens create`.',
    fallback: 'on loopback, without CARILLON_JWT_JWKS_URL: a secret that the mesh keeps in its database',
    example: 'aVeryLongRandomText…',
  }),
  jwtJwksUrl: jwksUrl.optional().meta({
    group: access,
    secret: 'url',
    description:
      'Where the issuer of tokens publishes its keys: those signed with RS, PS, ES or EdDSA are checked with them.',
    fallback: 'no such tokens are taken',
    example: 'https://login.example.com/.well-known/jwks.json',
  }),
  jwtIssuer: text.optional().meta({
    group: access,
    description: 'What tokens must say in `iss`.',
    fallback: 'any issuer whose signature is right',
    example: 'https://login.example.com/',
  }),
  jwtAudience: audiences.optional().meta({
    group: access,
    description:
      'One of these must stand in `aud` of tokens. Set it when the issuer signs for other services too.',
    fallback: 'any audience',
    example: 'carillon',
  }),
  clusterSecret: secret.optional().meta({
    group: access,
    secret: 'all',
    description:
      'Shared by all processes of the mesh: without it, or CARILLON_TLS_CA, no link between router and edge leaves this machine.',
    fallback: 'links on loopback are open',
    example: 'anotherLongRandomText…',
  }),
  masterKey: masterKey.optional().meta({
    group: access,
    secret: 'all',
    description:
      'Seals the secrets of providers: 32 random bytes in base64, the same for ingest and providers (`openssl rand -base64 32`). [How to change it](providers.md#keys).',
    fallback:
      'on loopback with the embedded PostgreSQL: a key in the data directory; elsewhere providers that need a secret are refused',
    example: 'm0Zk…44 characters…=',
  }),
  masterKeyOld: masterKeys.optional().meta({
    group: access,
    secret: 'all',
    description: 'Master keys of before, which still open what was sealed with them.',
    fallback: 'none',
    example: 'key1,key2',
  }),
  smtpUrl: url(['smtp:', 'smtps:'])
    .refine((value) => !URL.canParse(value) || Boolean(new URL(value).searchParams.get('from')), {
      error: 'must name the sender: …?from=name@example.com',
    })
    .optional()
    .meta({
      group: delivery,
      secret: 'url',
      description: 'A mail server that takes our mail, with the sender in `from`.',
      fallback: 'mail lands in the sandbox',
      example: 'smtps://user:secret@mail.example.com:465?from=noreply@example.com',
    }),
  providerRetryMs: retrySchedule.default([...limits.providerRetryMs]).meta({
    group: delivery,
    description:
      'How long to wait before each further try of a provider call that failed for now, in milliseconds or with a unit; after the last one the delivery is DEAD.',
    fallback: '`60000,300000,900000,3600000`',
    example: '10s,1m,10m,1h',
  }),
  tlsCert: text.optional().meta({
    group: tls,
    description: 'File with the certificate chain (PEM) of the ingest, edge and router ports.',
    fallback: 'no TLS',
    example: '/etc/carillon/tls.crt',
  }),
  tlsKey: text.optional().meta({
    group: tls,
    description: 'File with the private key (PEM) of the certificate.',
    fallback: 'no TLS',
    example: '/etc/carillon/tls.key',
  }),
  tlsCa: text.optional().meta({
    group: tls,
    description:
      'File with the authorities (PEM) that the certificates of callers of the ingest and router ports must come from.',
    fallback: 'callers need no certificate',
    example: '/etc/carillon/clients.crt',
  }),
  logLevel: z
    .enum(logLevels, { error: `must be one of ${logLevels.join(', ')}` })
    .default('info')
    .meta({
      group: operation,
      description:
        'Log lines from this level on go to stderr: one JSON object a line; on a terminal and in the demo, short lines to read.',
      example: 'debug',
    }),
});

export type Config = z.infer<typeof configSchema>;
export type ConfigKey = keyof Config;

export const configKeys = Object.keys(configSchema.shape) as ConfigKey[];

/** `edgePort` → `CARILLON_EDGE_PORT`. */
export function environmentName(key: ConfigKey): string {
  return `CARILLON_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

export interface Setting extends SettingMeta {
  key: ConfigKey;
  name: string;
  /** Undefined when there is none. */
  default: string | undefined;
}

/** All settings in the order of the schema. */
export const settings: readonly Setting[] = configKeys.map((key) => {
  const field: z.ZodType = configSchema.shape[key];
  const { description = '', example = '', group = '', fallback, secret: hidden } = field.meta() ?? {};
  const absent = field.safeParse(undefined).data;
  return {
    key,
    name: environmentName(key),
    description,
    example,
    group,
    fallback,
    secret: hidden,
    default: absent === undefined || fallback ? undefined : String(absent),
  };
});
