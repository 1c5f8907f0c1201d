// A follower's calls through the leader: asked again when the leader changes, and not for ever.
import type { Clock } from './clock.ts';
import { ClientError, type Failure } from './failure.ts';
import { limits } from './limits.ts';

interface Ask {
  readonly request: Uint8Array;
  resolve(answer: Uint8Array): void;
  reject(error: unknown): void;
  cancel(): void;
}

export interface AsksOptions {
  readonly clock: Clock;
  post(id: number, request: Uint8Array): void;
}

const failed = (reason: string, message: string): ClientError =>
  new ClientError({ remedy: 'wait', reason, message });

export class Asks {
  readonly #options: AsksOptions;
  readonly #open = new Map<number, Ask>();
  #next = 0;

  constructor(options: AsksOptions) {
    this.#options = options;
  }

  /** Rejects with ClientError: what the call failed with, or UNREACHABLE when no leader answers. */
  ask(request: Uint8Array): Promise<Uint8Array> {
    if (this.#open.size >= limits.asksCount)
      return Promise.reject(failed('OVERLOADED', 'Too many calls wait for the leading tab.'));
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const cancel = this.#options.clock.after(2 * limits.callMs, () => {
        this.#open.delete(id);
        reject(failed('UNREACHABLE', 'No leading tab answered.'));
      });
      this.#open.set(id, { request, resolve, reject, cancel });
      this.#options.post(id, request);
    });
  }

  answered(id: number, answer: Uint8Array | Failure): void {
    const ask = this.#take(id);
    if (answer instanceof Uint8Array) ask?.resolve(answer);
    else ask?.reject(new ClientError(answer));
  }

  /** Another tab leads now; what it is asked twice changes nothing. */
  again(): void {
    for (const [id, { request }] of this.#open) this.#options.post(id, request);
  }

  /** This tab leads now. */
  leadHere(call: (request: Uint8Array) => Promise<Uint8Array>): void {
    for (const id of [...this.#open.keys()]) {
      const ask = this.#take(id);
      if (ask) call(ask.request).then(ask.resolve, ask.reject);
    }
  }

  close(): void {
    for (const id of [...this.#open.keys()])
      this.#take(id)?.reject(failed('CLOSED', 'The client was closed.'));
  }

  #take(id: number): Ask | undefined {
    const ask = this.#open.get(id);
    this.#open.delete(id);
    ask?.cancel();
    return ask;
  }
}
