// What is set is understood or refused in one sentence, and no secret is shown.
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { settings } from './config.ts';
import { maskUrl, readConfigFile, resolveConfig, showConfig } from './config-load.ts';
import { CarillonError } from './errors.ts';
import { limits } from './limits.ts';

const resolve = (environment: Record<string, string>, file?: unknown) =>
  resolveConfig({
    environment,
    file: file === undefined ? undefined : { name: 'carillon.config.json', text: JSON.stringify(file) },
  });

function refusal(environment: Record<string, string>, file?: unknown): CarillonError {
  try {
    resolve(environment, file);
  } catch (error) {
    if (error instanceof CarillonError) return error;
    throw error;
  }
  throw new Error('the configuration was taken');
}

describe('settings', () => {
  test('nothing set gives the documented defaults', () => {
    const { config, origins } = resolve({});
    expect(config).toEqual({
      retentionDays: 365,
      dataDir: '.carillon',
      host: '127.0.0.1',
      ingestPort: 7100,
      edgePort: 7200,
      linkPort: 7201,
      edgeWeight: 1,
      edgeReconnectsPerSecond: limits.reconnectsPerSecond,
      edgeStreamsPerAddress: limits.streamsPerAddressCount,
      trustedProxies: ['127.0.0.0/8', '::1'],
      routerPort: 7300,
      webhookPort: 7400,
      opsPort: 7000,
      providerRetryMs: [60_000, 300_000, 900_000, 3_600_000],
      logLevel: 'info',
    });
    expect(new Set(Object.values(origins))).toEqual(new Set(['default']));
  });

  test.each([
    ['CARILLON_POSTGRES_URL', 'postgres://u:p@h:5432/d', 'postgresUrl', 'postgres://u:p@h:5432/d'],
    [
      'CARILLON_POSTGRES_URL',
      'postgres://u@%2Ftmp%2Fpg:5432/d',
      'postgresUrl',
      'postgres://u@%2Ftmp%2Fpg:5432/d',
    ],
    ['CARILLON_KAFKA_BROKERS', 'a:1, b:2', 'kafkaBrokers', ['a:1', 'b:2']],
    ['CARILLON_KAFKA_BROKERS', '[::1]:9092', 'kafkaBrokers', ['[::1]:9092']],
    ['CARILLON_REDIS_URL', 'redis://h:6379', 'redisUrl', 'redis://h:6379'],
    ['CARILLON_HOST', 'localhost', 'host', 'localhost'],
    ['CARILLON_HOST', '::1', 'host', '::1'],
    ['CARILLON_INGEST_PORT', '0', 'ingestPort', 0],
    ['CARILLON_EDGE_PORT', '65535', 'edgePort', 65_535],
    ['CARILLON_EDGE_ADVERTISE', 'edge-1.internal:7201', 'edgeAdvertise', 'edge-1.internal:7201'],
    ['CARILLON_EDGE_URL', 'https://edge-1.example.com', 'edgeUrl', 'https://edge-1.example.com'],
    ['CARILLON_EDGE_WEIGHT', '4', 'edgeWeight', 4],
    ['CARILLON_ZONE', 'eu-west-1a', 'zone', 'eu-west-1a'],
    ['CARILLON_SMTP_URL', 'smtp://h:25?from=a@b.c', 'smtpUrl', 'smtp://h:25?from=a@b.c'],
    ['CARILLON_PROVIDER_RETRY_MS', '250,1s,1.5m', 'providerRetryMs', [250, 1_000, 90_000]],
    ['CARILLON_LOG_LEVEL', 'debug', 'logLevel', 'debug'],
    ['CARILLON_JWT_SECRET', 'x'.repeat(32), 'jwtSecret', 'x'.repeat(32)],
    ['CARILLON_JWT_JWKS_URL', 'http://[::1]:8080/jwks', 'jwtJwksUrl', 'http://[::1]:8080/jwks'],
    ['CARILLON_JWT_AUDIENCE', 'a, b', 'jwtAudience', ['a', 'b']],
  ])('%s=%s is understood', (name, value, key, expected) => {
    expect(resolve({ [name]: value }).config).toMatchObject({ [key]: expected });
  });

  test.each([
    ['CARILLON_POSTGRES_URL', 'db.internal', /must be a URL that begins with postgres/],
    ['CARILLON_KAFKA_BROKERS', 'broker', /must be host:port/],
    ['CARILLON_KAFKA_BROKERS', ',', /CARILLON_KAFKA_BROKERS/],
    ['CARILLON_REDIS_URL', 'http://h', /begins with redis/],
    ['CARILLON_HOST', '0.0.0.0', /other machines .* CARILLON_JWT_SECRET or CARILLON_JWT_JWKS_URL/],
    ['CARILLON_HOST', '192.168.1.7', /which other machines may reach/],
    ['CARILLON_HOST', '127.0.0.1.evil.example', /which other machines may reach/],
    ['CARILLON_HOST', 'a host', /must be an address/],
    ['CARILLON_JWT_SECRET', 'short', /at least 32 bytes/],
    ['CARILLON_CLUSTER_SECRET', 'x'.repeat(31), /at least 32 bytes/],
    ['CARILLON_JWT_JWKS_URL', 'http://login.example.com/jwks', /must begin with https/],
    ['CARILLON_JWT_JWKS_URL', 'file:///etc/keys', /begins with https/],
    ['CARILLON_JWT_JWKS_URL', 'https://u:p@h/jwks', /no user and no password/],
    ['CARILLON_JWT_AUDIENCE', ',', /CARILLON_JWT_AUDIENCE/],
    ['CARILLON_INGEST_PORT', '65536', /from 0 to 65535/],
    ['CARILLON_EDGE_URL', 'edge-1:7200', /must be a URL that begins with http/],
    ['CARILLON_EDGE_WEIGHT', '0', /must be at least 1/],
    ['CARILLON_EDGE_WEIGHT', '1.5', /must be a whole number/],
    ['CARILLON_EDGE_WEIGHT', `${limits.ringWeightMax + 1}`, /must be at most/],
    ['CARILLON_ZONE', 'my zone', /must be a name/],
    ['CARILLON_INGEST_PORT', '-1', /must be a port number/],
    ['CARILLON_INGEST_PORT', '71oo', /must be a port number/],
    ['CARILLON_SMTP_URL', 'smtp://h:25', /must name the sender/],
    ['CARILLON_PROVIDER_RETRY_MS', '1 minute', /must be milliseconds/],
    ['CARILLON_LOG_LEVEL', 'loud', /must be one of trace/],
    ['CARILLON_TLS_CERT', '/tmp/crt', /CARILLON_TLS_KEY is missing/],
  ])('%s=%s is refused in one sentence', (name, value, said) => {
    const error = refusal({ [name]: value });
    expect(error.reason).toBe('CONFIG_INVALID');
    expect(error.message).toMatch(said);
  });

  test('the environment wins over the file, and the command line over both', () => {
    const { config, origins } = resolveConfig({
      environment: { CARILLON_EDGE_PORT: '2' },
      file: { name: 'f', text: '{"edgePort": 1, "ingestPort": 1, "CARILLON_OPS_PORT": 1}' },
      options: { dataDir: '/elsewhere' },
    });
    expect(config).toMatchObject({ edgePort: 2, ingestPort: 1, opsPort: 1, dataDir: '/elsewhere' });
    expect(origins).toMatchObject({
      edgePort: 'environment',
      ingestPort: 'file',
      dataDir: 'option',
      host: 'default',
    });
  });

  test.each<Record<string, string>>([
    { CARILLON_JWT_SECRET: 'x'.repeat(32) },
    { CARILLON_JWT_JWKS_URL: 'https://login.example.com/jwks' },
  ])('with %o any address may be listened on', (how) => {
    expect(resolve({ CARILLON_HOST: '0.0.0.0', ...how }).config.host).toBe('0.0.0.0');
  });

  test('empty values count as not set', () => {
    expect(resolve({ CARILLON_EDGE_PORT: '', CARILLON_POSTGRES_URL: '' }).config).toMatchObject({
      edgePort: 7200,
    });
  });

  test('a file may hold numbers and lists', () => {
    expect(
      resolve({}, { edgePort: 9, kafkaBrokers: ['a:1'], providerRetryMs: ['1s', 5_000] }).config,
    ).toMatchObject({
      edgePort: 9,
      kafkaBrokers: ['a:1'],
      providerRetryMs: [1_000, 5_000],
    });
  });
});

describe('names that nobody knows', () => {
  test.each([
    ['CARILLON_POSTGRE_URL', 'CARILLON_POSTGRES_URL'],
    ['CARILLON_KAFKA_BROKER', 'CARILLON_KAFKA_BROKERS'],
    ['CARILLON_EDGEPORT', 'CARILLON_EDGE_PORT'],
  ])('%s is refused, and %s is suggested', (name, meant) => {
    expect(refusal({ [name]: '1' }).message).toContain(
      `${name} is not a setting that Carillon knows; did you mean ${meant}?`,
    );
  });

  test('a name that is near to none gets no suggestion', () => {
    expect(refusal({ CARILLON_UNHEARD_OF: 'x' }).message).toBe(
      'CARILLON_UNHEARD_OF is not a setting that Carillon knows.',
    );
  });

  test('in the file too, with the name of the file', () => {
    expect(refusal({}, { egdePort: 1 }).message).toContain(
      'egdePort is not a setting that Carillon knows (in carillon.config.json); did you mean edgePort?',
    );
  });

  test('one setting in two spellings is refused', () => {
    expect(refusal({}, { edgePort: 1, CARILLON_EDGE_PORT: 2 }).message).toContain('stands twice');
  });

  test('all problems are told at once', () => {
    const error = refusal({ CARILLON_EDGE_PORT: 'x', CARILLON_HOTS: '::1', CARILLON_LOG_LEVEL: 'y' });
    expect(error.violations.map(({ field }) => field).sort()).toEqual([
      'CARILLON_EDGE_PORT',
      'CARILLON_HOTS',
      'CARILLON_LOG_LEVEL',
    ]);
  });

  test('names of others are left alone', () => {
    expect(() => resolve({ OTEL_ANYTHING: 'x', PATH: '/bin', CARILLON_CACHE_DIR: '/tmp' })).not.toThrow();
  });
});

describe('the file', () => {
  test('none is fine', async () => {
    expect(readConfigFile(await mkdtemp(join(tmpdir(), 'carillon-config-')))).toBeUndefined();
  });

  test.each(['{', '[]', '"x"', 'null'])('%s is refused', async (content) => {
    const directory = await mkdtemp(join(tmpdir(), 'carillon-config-'));
    await writeFile(join(directory, 'carillon.config.json'), content);
    expect(() => resolveConfig({ environment: {}, file: readConfigFile(directory) })).toThrow(
      /carillon\.config\.json (is not JSON|must hold one JSON object)/,
    );
  });
});

describe('what is shown', () => {
  test.each([
    ['postgres://u:p%40ss@h:5432/d', 'postgres://u:***@h:5432/d'],
    ['postgres://h/d?user=u&password=geheim', 'postgres://h/d?user=u&password=***'],
    ['smtp://h:25?from=a@b.c', 'smtp://h:25?from=a@b.c'],
    ['not a url at all', '***'],
  ])('%s is shown as %s', (url, shown) => {
    expect(decodeURIComponent(maskUrl(url))).toBe(shown);
  });

  test('no secret is in it, whatever it is set to', () => {
    const shown = showConfig(
      resolve({
        CARILLON_POSTGRES_URL: 'postgres://u:geheim@h/d',
        CARILLON_REDIS_URL: 'redis://:geheim@h',
        CARILLON_SMTP_URL: 'smtp://u:geheim@h?from=a@b.c',
        CARILLON_JWT_SECRET: 'geheim'.repeat(8),
        CARILLON_CLUSTER_SECRET: 'geheim'.repeat(8),
        CARILLON_JWT_JWKS_URL: 'https://h/jwks?key=geheim',
      }),
    );
    expect(JSON.stringify(shown)).not.toContain('geheim');
    expect(shown.find(({ name }) => name === 'CARILLON_POSTGRES_URL')).toEqual({
      name: 'CARILLON_POSTGRES_URL',
      value: 'postgres://u:***@h/d',
      origin: 'environment',
    });
    expect(shown.find(({ name }) => name === 'CARILLON_PROVIDER_RETRY_MS')?.value).toBe(
      '60000,300000,900000,3600000',
    );
    expect(shown).toHaveLength(settings.length);
  });
});
