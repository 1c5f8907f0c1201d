// Reads the settings: environment over file over defaults. A name that nobody knows refuses the start.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Config,
  type ConfigKey,
  configKeys,
  configSchema,
  environmentName,
  isLoopback,
  settings,
} from './config.ts';
import { CarillonError, type FieldViolation } from './errors.ts';
import { nearest } from './nearest.ts';
import { toolNames } from './tool-names.ts';

const CONFIG_FILE = 'carillon.config.json';

type Origin = 'default' | 'file' | 'environment' | 'option';

export interface LoadedConfig {
  config: Config;
  origins: Record<ConfigKey, Origin>;
}

export interface ConfigSources {
  environment: Readonly<Record<string, string | undefined>>;
  /** The text of the file and its name for messages. */
  file?: { name: string; text: string } | undefined;
  /** What the command line says; over everything. */
  options?: Partial<Record<ConfigKey, unknown>>;
}

const byName = new Map<string, ConfigKey>(configKeys.map((key) => [environmentName(key), key]));

function unknown(field: string, where: string, known: readonly string[]): FieldViolation {
  // All names begin alike, which says nothing of how near they are.
  const bare = (name: string) => name.replace(/^CARILLON_/, '');
  const near = nearest(bare(field), known.map(bare));
  const meant = near && known.find((name) => bare(name) === near);
  return {
    field,
    description: `is not a setting that Carillon knows${where}${meant ? `; did you mean ${meant}?` : ''}`,
  };
}

function readFileValues(
  file: { name: string; text: string },
  violations: FieldViolation[],
): Map<ConfigKey, unknown> {
  const values = new Map<ConfigKey, unknown>();
  let parsed: unknown;
  try {
    parsed = JSON.parse(file.text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CarillonError('CONFIG_INVALID', `${file.name} is not JSON: ${why}`, { cause });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new CarillonError('CONFIG_INVALID', `${file.name} must hold one JSON object.`);
  const spelt = new Map<ConfigKey, string>();
  for (const [name, value] of Object.entries(parsed)) {
    const key = byName.get(name) ?? configKeys.find((each) => each === name);
    const twice = key && spelt.get(key);
    if (!key) violations.push(unknown(name, ` (in ${file.name})`, [...configKeys, ...byName.keys()]));
    else if (twice)
      violations.push({ field: name, description: `stands twice in ${file.name}, also as ${twice}` });
    else {
      spelt.set(key, name);
      if (value !== null && value !== '') values.set(key, value);
    }
  }
  return values;
}

/** One field's problem, in our words: which setting, and what it must be. */
function violation(issue: { path: readonly PropertyKey[]; message: string }): FieldViolation {
  const key = configKeys.find((each) => each === issue.path[0]);
  return { field: key ? environmentName(key) : issue.path.join('.'), description: issue.message };
}

function checkTogether(config: Config, violations: FieldViolation[]): void {
  if (Boolean(config.tlsCert) !== Boolean(config.tlsKey))
    violations.push({
      field: config.tlsCert ? 'CARILLON_TLS_KEY' : 'CARILLON_TLS_CERT',
      description: 'is missing: certificate and key go together',
    });
  if (!isLoopback(config.host) && !config.jwtSecret && !config.jwtJwksUrl)
    violations.push({
      field: 'CARILLON_HOST',
      description: `is ${config.host}, which other machines may reach: say how callers are told apart with CARILLON_JWT_SECRET or CARILLON_JWT_JWKS_URL, or listen on 127.0.0.1`,
    });
  if (config.tlsCa && !config.tlsCert)
    violations.push({
      field: 'CARILLON_TLS_CA',
      description: 'needs CARILLON_TLS_CERT and CARILLON_TLS_KEY too',
    });
}

/**
 * Puts the sources together and checks them. Throws CONFIG_INVALID with one violation per problem; the message names
 * them all. Empty values count as not set.
 */
export function resolveConfig({ environment, file, options = {} }: ConfigSources): LoadedConfig {
  const violations: FieldViolation[] = [];
  const input: Partial<Record<ConfigKey, unknown>> = {};
  const origins = Object.fromEntries(configKeys.map((key) => [key, 'default'])) as Record<ConfigKey, Origin>;
  const put = (key: ConfigKey, value: unknown, origin: Origin) => {
    input[key] = value;
    origins[key] = origin;
  };
  if (file) for (const [key, value] of readFileValues(file, violations)) put(key, value, 'file');
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('CARILLON_') || name in toolNames) continue;
    const key = byName.get(name);
    if (!key) violations.push(unknown(name, '', [...byName.keys()]));
    else if (value) put(key, value, 'environment');
  }
  for (const key of configKeys) if (options[key] !== undefined) put(key, options[key], 'option');
  const parsed = configSchema.safeParse(input);
  if (parsed.success) checkTogether(parsed.data, violations);
  else violations.push(...parsed.error.issues.map(violation));
  if (violations.length > 0 || !parsed.success) {
    const said = violations.map(({ field, description }) =>
      `${field} ${description}`.replace(/[^.?]$/, '$&.'),
    );
    throw new CarillonError('CONFIG_INVALID', said.join(' '), { violations });
  }
  return { config: parsed.data, origins };
}

/** Reads `carillon.config.json` in `directory`, if there is one. */
export function readConfigFile(directory: string): { name: string; text: string } | undefined {
  try {
    return { name: CONFIG_FILE, text: readFileSync(join(directory, CONFIG_FILE), 'utf8') };
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new CarillonError('CONFIG_INVALID', `${CONFIG_FILE} cannot be read: ${cause}`, { cause });
  }
}

const SECRET_PARAMETER = /pass|secret|token|key/i;

/** The URL with its password, and parameters that sound like one, as `***`. */
export function maskUrl(text: string): string {
  if (!URL.canParse(text)) return '***';
  const url = new URL(text);
  if (url.password) url.password = '***';
  for (const name of [...url.searchParams.keys()])
    if (SECRET_PARAMETER.test(name)) url.searchParams.set(name, '***');
  return url.href;
}

export interface ShownSetting {
  name: string;
  /** Masked; null when not set. */
  value: string | number | null;
  origin: Origin;
}

/** What is in force, fit to be shown to anybody. */
export function showConfig({ config, origins }: LoadedConfig): ShownSetting[] {
  return settings.map(({ key, name, secret }) => {
    const value = config[key];
    const plain = Array.isArray(value) ? value.join(',') : value;
    const shown =
      plain === undefined || secret === undefined ? plain : secret === 'url' ? maskUrl(String(plain)) : '***';
    return { name, value: shown ?? null, origin: origins[key] };
  });
}
