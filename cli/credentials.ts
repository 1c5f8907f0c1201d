// Finds the token that a command calls with: what it was told, else the key of a mesh on this machine, else what it can sign itself.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { decodeJwt, type JWTPayload, SignJWT } from 'jose';
import type { CreateTokenRequestSchema } from '../gen/carillon/v1/admin_pb.ts';
import { isKnownScope } from '../runtime/access.ts';
import { apiKeyId } from '../runtime/api-key.ts';
import { isLoopback } from '../runtime/config.ts';
import { CarillonError } from '../runtime/errors.ts';
import { DEFAULT_TENANT } from '../runtime/identity.ts';
import { limits } from '../runtime/limits.ts';
import { type Cli, loadConfig, usage } from './cli.ts';
import { LOCAL_KEY } from './local-key.ts';
import { noteFor } from './runtime-directory.ts';

export interface TokenOptions {
  token?: string | undefined;
}

/** What a person or a script said; empty counts as nothing. */
const said = (cli: Cli, options: TokenOptions): string | undefined =>
  options.token || cli.environment.CARILLON_TOKEN || cli.environment.CARILLON_API_KEY || undefined;

function keyIn(path: string): string | undefined {
  try {
    const key = readFileSync(path, 'utf8').trim();
    return apiKeyId(key) ? key : undefined;
  } catch {
    return undefined;
  }
}

/** A minute's token with all scopes, signed with the secret that the configuration holds. */
function signed(secret: string, issuer: string | undefined, audience: readonly string[] | undefined) {
  const token = new SignJWT({ tenant: DEFAULT_TENANT, scope: '*' })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject('carillon-cli')
    .setIssuedAt()
    .setExpirationTime('1 minute');
  if (issuer) token.setIssuer(issuer);
  if (audience) token.setAudience([...audience]);
  return token.sign(Buffer.from(secret));
}

/** For calls that a backend makes to `url`. Rejects with UNAUTHENTICATED, and what to do, when there is none. */
export async function backendToken(cli: Cli, url: string, options: TokenOptions): Promise<string> {
  const told = said(cli, options);
  if (told) return told;
  const local = isLoopback(new URL(url).hostname.replace(/^\[|\]$/g, ''));
  // A key of this machine's mesh is sent to nobody else.
  const note = local ? noteFor(cli.environment, url) : undefined;
  const noted = note && keyIn(note.keyFile);
  if (noted) return noted;
  const { config } = loadConfig(cli);
  const kept = local ? keyIn(resolve(cli.directory, config.dataDir, LOCAL_KEY)) : undefined;
  if (kept) return kept;
  if (config.jwtSecret) return signed(config.jwtSecret, config.jwtIssuer, config.jwtAudience);
  throw new CarillonError(
    'UNAUTHENTICATED',
    local
      ? `There is no key for ${url}: no mesh of this user listens there. Start one with carillon up, or say CARILLON_API_KEY or --token.`
      : `There is no key for ${url}: say CARILLON_API_KEY or --token; carillon keys create makes one, run where the mesh is.`,
  );
}

/** Whether a token that was given is the user's, to be used as it is; a backend's asks for one. Throws USAGE for another user's. */
function isUsers(token: string, user: string): boolean {
  if (apiKeyId(token)) return false;
  let claims: JWTPayload;
  try {
    claims = decodeJwt(token);
  } catch {
    // The mesh will say what it is.
    return true;
  }
  const { scope, scopes, sub } = claims;
  const all = [...String(scope ?? '').split(' '), ...(Array.isArray(scopes) ? scopes : [])];
  if (all.some((each) => typeof each === 'string' && isKnownScope(each))) return false;
  if (sub !== user) throw usage(`The token is not that of ${user}, but of ${sub ?? 'nobody'}.`);
  return true;
}

export interface UserTokensOptions {
  cli: Cli;
  user: string;
  /** Binds them to one device; empty: they are good for all. */
  deviceId: string;
  options: TokenOptions;
}

/** Of the clients of AdminService, on either stack. */
interface TokenMaker {
  createToken(
    request: MessageInitShape<typeof CreateTokenRequestSchema>,
    options: { signal: AbortSignal; timeoutMs: number },
  ): Promise<{ token: string }>;
}

/** Gives a user's token, another one when it is about to expire. */
export class UserTokens {
  readonly #for: UserTokensOptions;
  readonly #admin: () => TokenMaker;
  #token = '';
  #renewMs = 0;
  #asking: Promise<string> | undefined;

  /** `admin`: who makes them, unless the caller was given one. */
  constructor(options: UserTokensOptions, admin: () => TokenMaker) {
    this.#for = options;
    this.#admin = admin;
  }

  /** The next `get` asks for a new one. */
  drop(): void {
    this.#renewMs = 0;
  }

  get(): string | Promise<string> {
    const { cli, user, options } = this.#for;
    const told = said(cli, options);
    if (told && isUsers(told, user)) return told;
    if (cli.clock.monotonic() < this.#renewMs) return this.#token;
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #ask(): Promise<string> {
    const { user, deviceId, cli } = this.#for;
    const { clock, signal } = cli;
    const ttlMs = limits.tokenTtlMs;
    const askedMs = clock.monotonic();
    const { token } = await this.#admin().createToken(
      { userId: user, deviceId, ttl: durationFromMs(ttlMs) },
      { signal, timeoutMs: limits.cliConnectMs },
    );
    this.#token = token;
    this.#renewMs = askedMs + ttlMs * limits.tokenRenewShare;
    return token;
  }
}
