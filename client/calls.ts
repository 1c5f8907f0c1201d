// Unary calls: with the token of the hour and a deadline, and once more when the token was refused.
import type { CallOptions } from '@connectrpc/connect';
import { authorization, type EdgeClient } from './connection.ts';
import { ClientError, failureOf } from './failure.ts';
import { limits } from './limits.ts';
import type { Tokens } from './tokens.ts';

export class Calls {
  readonly #tokens: Tokens;
  readonly #clientOf: () => EdgeClient;
  readonly #ended = new AbortController();

  /** `clientOf`: of the edge that holds the stream, else of any. */
  constructor(tokens: Tokens, clientOf: () => EdgeClient) {
    this.#tokens = tokens;
    this.#clientOf = clientOf;
  }

  /** Throws ClientError. `fresh`: with a token that was not used before. */
  async call<T>(
    make: (client: EdgeClient, options: CallOptions) => Promise<T>,
    { fresh = false }: { fresh?: boolean } = {},
  ): Promise<T> {
    let token = fresh ? await this.#tokens.renewed() : await this.#tokens.get();
    for (let again = false; ; again = true) {
      try {
        const headers = authorization(token);
        return await make(this.#clientOf(), {
          headers,
          timeoutMs: limits.callMs,
          signal: this.#ended.signal,
        });
      } catch (error) {
        const failure = failureOf(error);
        if (again || failure.remedy !== 'token') throw new ClientError(failure, { cause: error });
        token = await this.#tokens.get(token);
      }
    }
  }

  close(): void {
    this.#ended.abort();
  }
}
