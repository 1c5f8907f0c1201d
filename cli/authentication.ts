// Puts together who is let in: the configured secret or key set, or on loopback what the mesh makes for itself.
import { resolve } from 'node:path';
import { TokenAuthenticator } from '../runtime/authenticator.tokens.ts';
import type { UserAuthenticator } from '../runtime/authenticator.ts';
import { type Config, isLoopback } from '../runtime/config.ts';
import { CarillonError } from '../runtime/errors.ts';
import { Jwks } from '../runtime/jwks.ts';
import { createJwtVerifier } from '../runtime/jwt.ts';
import type { Log } from '../runtime/log.ts';
import { type SignToken, tokenSigner } from '../runtime/token-signer.ts';
import { openCredentials } from '../storage/credentials.ts';
import type { Database } from '../storage/database.ts';
import { localSecret } from '../storage/mesh-identity.ts';
import type { Cli } from './cli.ts';
import { ensureLocalKey, LOCAL_KEY } from './local-key.ts';

export interface Authentication {
  readonly authenticator: UserAuthenticator;
  /** Undefined: tokens are signed elsewhere. */
  readonly signToken: SignToken | undefined;
  /** Where commands of this user find a key, on loopback. */
  readonly keyFile: string | undefined;
}

/** What is set, or on loopback the mesh's own: a secret that anybody could ask the database for is none elsewhere. */
async function secretOf(config: Config, db: Database): Promise<Uint8Array | undefined> {
  if (config.jwtSecret) return Buffer.from(config.jwtSecret);
  if (config.jwtJwksUrl || !isLoopback(config.host)) return undefined;
  return localSecret(db);
}

/** What it opens is closed by `owned`. Rejects with STORE_UNAVAILABLE, CONFIG_INVALID. */
export async function openAuthentication(
  { cli, config, db, log }: { cli: Cli; config: Config; db: Database; log: Log },
  owned: AsyncDisposableStack,
): Promise<Authentication> {
  const { clock } = cli;
  const { jwtJwksUrl, jwtIssuer: issuer, jwtAudience: audience } = config;
  let keyFile: string | undefined;
  if (isLoopback(config.host)) {
    const path = resolve(cli.directory, config.dataDir, LOCAL_KEY);
    try {
      await ensureLocalKey(db, path);
      keyFile = path;
    } catch (error) {
      // A directory that may not be written to: commands are told their key then.
      if (!(error instanceof CarillonError) || error.reason !== 'CONFIG_INVALID') throw error;
      log.warn(
        { err: error },
        'no local key for commands; set CARILLON_DATA_DIR to where one may be written',
      );
    }
  }
  const secret = await secretOf(config, db);
  const credentials = await openCredentials({ db, clock, log });
  const jwks = jwtJwksUrl === undefined ? undefined : owned.use(new Jwks({ url: jwtJwksUrl, clock, log }));
  const jwt = await createJwtVerifier({
    secret,
    keys: jwks?.key,
    issuer,
    audience,
    nowMs: () => credentials.nowMs(),
  });
  return {
    authenticator: owned.use(
      new TokenAuthenticator({ credentials, jwt, ...(jwks && { keysVersion: jwks.version }) }),
    ),
    signToken: secret && tokenSigner({ secret, issuer, audience }),
    keyFile,
  };
}
