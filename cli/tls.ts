// Reads the certificates that the configuration names.
import { readFileSync } from 'node:fs';
import { type Config, type ConfigKey, environmentName } from '../runtime/config.ts';
import { CarillonError } from '../runtime/errors.ts';

/** PEM. With `ca` and `requestCert` callers must bring a certificate of these authorities. */
export interface Tls {
  cert: string;
  key: string;
  ca?: string;
  requestCert?: boolean;
}

function pem(config: Config, key: ConfigKey & ('tlsCert' | 'tlsKey' | 'tlsCa')): string {
  try {
    return readFileSync(config[key] ?? '', 'utf8');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CarillonError('CONFIG_INVALID', `${environmentName(key)} cannot be read: ${why}.`, { cause });
  }
}

/** Reads the files; undefined without TLS. Throws CONFIG_INVALID. */
export function readTls(config: Config): Tls | undefined {
  if (!config.tlsCert) return undefined;
  return {
    cert: pem(config, 'tlsCert'),
    key: pem(config, 'tlsKey'),
    ...(config.tlsCa && { ca: pem(config, 'tlsCa'), requestCert: true }),
  };
}
