// Signals that were handed to the other end of a link: each is answered, in time, if only by UNREACHABLE.
import { SignalOutcome } from '../gen/carillon/v1/edge_link_pb.ts';
import type { Clock, Timer } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Signal, SignalResult } from './edge-link.ts';

interface Waiting {
  timer: Timer;
  resolve(outcome: SignalOutcome): void;
}

export class SignalCalls {
  readonly #clock: Clock;
  readonly #send: (signal: Signal) => boolean;
  readonly #waiting = new Map<number, Waiting>();
  #id = 0;

  /** `send`: puts it on the link; false when that is not possible now. */
  constructor(clock: Clock, send: (signal: Signal) => boolean) {
    this.#clock = clock;
    this.#send = send;
  }

  /** UNREACHABLE after `limits.signalMs`, and at once while `limits.linkSignalsCount` are without answer. Never rejects. */
  call(signal: Signal): Promise<SignalOutcome> {
    if (this.#waiting.size >= limits.linkSignalsCount) return Promise.resolve(SignalOutcome.UNREACHABLE);
    // Ids of the link's own: whoever sent the signal first counted for itself.
    this.#id = (this.#id % 0xffff_ffff) + 1;
    const id = this.#id;
    if (!this.#send({ ...signal, id })) return Promise.resolve(SignalOutcome.UNREACHABLE);
    return new Promise((resolve) => {
      const timer = this.#clock.after(limits.signalMs, () => this.#end(id, SignalOutcome.UNREACHABLE));
      this.#waiting.set(id, { timer, resolve });
    });
  }

  /** What the other end says became of them; what nobody waits for any more is passed over. */
  answered(results: readonly SignalResult[]): void {
    for (const { id, outcome } of results) this.#end(id, outcome);
  }

  /** The link is down: nothing that was sent will be answered. */
  broken(): void {
    for (const id of [...this.#waiting.keys()]) this.#end(id, SignalOutcome.UNREACHABLE);
  }

  #end(id: number, outcome: SignalOutcome): void {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    this.#waiting.delete(id);
    waiting.timer[Symbol.dispose]();
    waiting.resolve(outcome);
  }
}
