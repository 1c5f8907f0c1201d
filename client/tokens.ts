// The app's token: asked for once by however many need it, renewed before it ends, always of the same user.
import { type Clock, sleep } from './clock.ts';
import { ClientError } from './failure.ts';
import { limits } from './limits.ts';

/** Answers a token for the edge, from the app's backend. Called again when one is about to end or was refused. */
export type TokenSource = (signal: AbortSignal) => string | Promise<string>;

interface Claims {
  /** Tenant and subject; empty when the token does not say. */
  readonly user: string;
  readonly lifeMs: number | undefined;
}

const NOBODY: Claims = { user: '', lifeMs: undefined };
const numberOf = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);

/** What a JWT says of itself, unchecked: the edge checks. By its length of life, as clocks differ. */
function claimsOf(token: string): Claims {
  const part = token.split('.')[1];
  if (part === undefined) return NOBODY;
  try {
    const bytes = Uint8Array.from(atob(part.replaceAll('-', '+').replaceAll('_', '/')), (char) =>
      char.charCodeAt(0),
    );
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof claims !== 'object' || claims === null) return NOBODY;
    const { sub, tenant, iat, exp } = claims as Record<string, unknown>;
    const from = numberOf(iat);
    const to = numberOf(exp);
    return {
      user: typeof sub === 'string' ? JSON.stringify([tenant ?? '', sub]) : '',
      lifeMs: from === undefined || to === undefined ? undefined : Math.max(0, to - from) * 1_000,
    };
  } catch {
    return NOBODY;
  }
}

export class Tokens {
  readonly #source: TokenSource;
  readonly #clock: Clock;
  readonly #ended = new AbortController();
  #token: string | undefined;
  #user: string | undefined;
  #usableUntilMs = 0;
  #asking: Promise<string> | undefined;

  constructor(source: TokenSource, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
  }

  /** Whose the tokens are, as they say themselves; empty before the first, and when they do not say. */
  get user(): string {
    return this.#user ?? '';
  }

  /** `refused`: the edge did not take this one. Throws ClientError NO_TOKEN, or OTHER_USER, which is for good. */
  get(refused?: string): Promise<string> {
    const usable =
      this.#token !== undefined && this.#token !== refused && this.#clock.monotonic() < this.#usableUntilMs;
    if (usable) return Promise.resolve(this.#token as string);
    return this.renewed();
  }

  /** A new one in any case. */
  renewed(): Promise<string> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  close(): void {
    this.#ended.abort();
  }

  async #ask(): Promise<string> {
    const call = new AbortController();
    const stop = () => call.abort();
    this.#ended.signal.addEventListener('abort', stop);
    const late = sleep(this.#clock, limits.tokenMs, call.signal);
    const askedMs = this.#clock.monotonic();
    try {
      const token = await Promise.race([this.#source(call.signal), late]);
      if (typeof token !== 'string' || token === '') throw new Error('The token callback gave no token.');
      const { user, lifeMs } = claimsOf(token);
      if (this.#user !== undefined && this.#user !== user)
        throw new ClientError({
          remedy: 'none',
          reason: 'OTHER_USER',
          message: "The token is another user's: make a new client for another user.",
        });
      this.#user = user;
      this.#token = token;
      this.#usableUntilMs =
        lifeMs === undefined ? Number.POSITIVE_INFINITY : askedMs + lifeMs * (1 - limits.tokenRestShare);
      return token;
    } catch (error) {
      if (error instanceof ClientError) throw error;
      const message = error instanceof Error ? error.message : String(error);
      throw new ClientError({ remedy: 'wait', reason: 'NO_TOKEN', message }, { cause: error });
    } finally {
      this.#ended.signal.removeEventListener('abort', stop);
      call.abort();
    }
  }
}
