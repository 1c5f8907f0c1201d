// Acknowledges what was handled: many items in one call, one call at a time, and again when a call failed.
import type { Client } from '@connectrpc/connect';
import type { EdgeService } from '../gen/carillon/v1/edge_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';

export interface AckedItem {
  seq: number;
  traceparent: string;
}

/** The first run of consecutive numbers as (after, upto], and the others as extras. */
export function ackRange(seqs: readonly number[]): { after: number; upto: number; extra: number[] } {
  const sorted = [...new Set(seqs)].sort((a, b) => a - b);
  const first = sorted[0] ?? 1;
  let run = 1;
  while (run < sorted.length && sorted[run] === first + run) run++;
  return { after: first - 1, upto: first - 1 + Math.min(run, sorted.length), extra: sorted.slice(run) };
}

export class Acknowledger {
  readonly #client: Client<typeof EdgeService>;
  readonly #clock: Clock;
  readonly #waiting: AckedItem[] = [];
  readonly #onAcked: (items: readonly AckedItem[]) => void;
  #sending: Promise<void> | undefined;
  sessionId = '';

  constructor(
    client: Client<typeof EdgeService>,
    clock: Clock,
    onAcked: (items: readonly AckedItem[]) => void = () => {},
  ) {
    this.#client = client;
    this.#clock = clock;
    this.#onAcked = onAcked;
  }

  /** `item` was handled. */
  add(item: AckedItem): void {
    this.#waiting.push(item);
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined;
    });
  }

  /** Resolves when nothing waits any more, or when it was tried `limits.cliAckTries` times in vain. */
  async idle(): Promise<void> {
    await this.#sending;
  }

  async #send(): Promise<void> {
    let failures = 0;
    while (this.#waiting.length > 0 && failures < limits.cliAckTries) {
      const items = this.#waiting.slice(0, limits.cliAckItems);
      try {
        await this.#client.ack(
          {
            sessionId: this.sessionId,
            ...ackRange(items.map(({ seq }) => seq)),
            traceparents: items.map(({ traceparent }) => traceparent).filter(Boolean),
          },
          { timeoutMs: limits.cliConnectMs },
        );
        this.#waiting.splice(0, items.length);
        failures = 0;
        this.#onAcked(items);
      } catch {
        failures++;
        await this.#clock.sleep(limits.reconnectMinMs * failures);
      }
    }
  }
}
