// Says what the app has handled: many items in one call, one call at a time, and again until the edge has it.
import type { AckRequest } from '../gen/carillon/v1/edge_pb.ts';
import type { Clock } from './clock.ts';
import { type Failure, failureIn } from './failure.ts';
import { limits } from './limits.ts';
import { joined, type Run, without } from './runs.ts';

type AckCall = Pick<AckRequest, 'sessionId' | 'after' | 'upto' | 'extra' | 'traceparents'>;

export interface AcksOptions {
  readonly clock: Clock;
  readonly random: () => number;
  /** Throws ClientError. */
  send(call: AckCall): Promise<unknown>;
  /** The edge has them. */
  onAcked?(runs: readonly Run[]): void;
  /** Acks that were given up: the mesh goes on to other channels. */
  onLost(failure: Failure): void;
}

export interface HandledItem {
  readonly seq: number;
  /** Position before the item; 0: not known. */
  readonly previous: number;
  readonly critical: boolean;
  readonly traceparent: string;
}

/** Nothing lies between two positions that the edge sent one after the other, so that runs join over it. */
export const runOf = ({ seq, previous }: HandledItem): Run => [
  previous === 0 ? seq - 1 : Math.max(previous, seq - limits.ackSpanCount),
  seq,
];

/** The longest run as the range, and what fits of the others one by one. Runs that are longer go in pieces. */
export function ackOf(runs: readonly Run[]): { range: Run; extras: readonly Run[] } {
  let range: Run = [0, 0];
  for (const run of runs) if (run[1] - run[0] > range[1] - range[0]) range = run;
  const extras: Run[] = [];
  let room: number = limits.ackExtraCount;
  for (const run of runs) {
    if (run === range || room < run[1] - run[0]) continue;
    extras.push(run);
    room -= run[1] - run[0];
  }
  const upto = Math.min(range[1], range[0] + limits.ackSpanCount);
  return { range: [range[0], upto], extras };
}

const positionsOf = (runs: readonly Run[]): number[] =>
  runs.flatMap(([after, upto]) => Array.from({ length: upto - after }, (_, index) => after + 1 + index));

export class Acks {
  readonly #options: AcksOptions;
  /** Handled, and not known to be acknowledged. */
  #owed: Run[] = [];
  #traces: string[] = [];
  /** Items that came since the last call. */
  #items = 0;
  #session = '';
  #sending: Promise<void> | undefined;
  #cancel: (() => void) | undefined;
  #failures = 0;
  /** Timers are not to be relied on: nothing waits for one. */
  hurried = false;
  /** Rises when what is owed is dropped: an answer to a call of before says nothing any more. */
  #line = 0;

  constructor(options: AcksOptions) {
    this.#options = options;
  }

  /** For the cursor store: what to acknowledge after a crash. */
  get owed(): readonly Run[] {
    return this.#owed;
  }

  /** From the cursor store. */
  restore(owed: readonly Run[]): void {
    for (const run of owed) this.#owed = joined(this.#owed, run);
  }

  /** The session that takes acks; empty: none does. What failed before is tried at once. */
  session(id: string): void {
    this.#session = id;
    this.#failures = 0;
    if (id === '') this.#hold();
    else if (this.#owed.length > 0) this.#soon(0);
  }

  add(item: HandledItem): void {
    const { critical, traceparent } = item;
    this.#owed = joined(this.#owed, runOf(item));
    if (this.#owed.length > limits.ackRunsCount) {
      this.#owed = this.#owed.slice(1);
      const message = 'Too many acks wait for an edge; the oldest are given up.';
      this.#options.onLost({ remedy: 'none', reason: 'ACKS_LOST', message });
    }
    if (traceparent !== '' && this.#traces.length < limits.ackTracesCount) this.#traces.push(traceparent);
    this.#items++;
    if (this.#failures > 0) return;
    if (critical || this.hurried || this.#items >= limits.ackItemsCount) this.#soon(0);
    else if (!this.#cancel) this.#soon(limits.ackDelayMs);
  }

  /** Nothing of what was handled so far lies on the line of the next positions. */
  drop(): void {
    this.#hold();
    this.#line++;
    this.#owed = [];
    this.#traces = [];
    this.#items = 0;
  }

  /** Sends what is owed now; resolves when nothing is, or when a call failed. */
  async flush(): Promise<void> {
    this.#hold();
    do {
      this.#start();
      await this.#sending;
    } while (this.#owed.length > 0 && this.#session !== '' && this.#failures === 0);
  }

  close(): void {
    this.#session = '';
    this.#hold();
  }

  #hold(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #soon(ms: number): void {
    this.#hold();
    if (this.#session === '') return;
    if (ms === 0) this.#start();
    else
      this.#cancel = this.#options.clock.after(ms, () => {
        this.#cancel = undefined;
        this.#start();
      });
  }

  #start(): void {
    if (this.#sending || this.#session === '' || this.#owed.length === 0) return;
    this.#sending = this.#send().finally(() => {
      this.#sending = undefined;
      if (this.#owed.length === 0 || this.#cancel || this.#session === '') return;
      if (this.#failures > 0)
        this.#soon(
          1 +
            this.#options.random() *
              Math.min(limits.reconnectMaxMs, limits.reconnectBaseMs * 2 ** this.#failures),
        );
      else
        this.#soon(
          this.hurried || this.#items === 0 || this.#items >= limits.ackItemsCount ? 0 : limits.ackDelayMs,
        );
    });
  }

  async #send(): Promise<void> {
    const { range, extras } = ackOf(this.#owed);
    const traceparents = this.#traces.splice(0);
    this.#items = 0;
    const line = this.#line;
    const sessionId = this.#session;
    const [after, upto] = range;
    try {
      await this.#options.send({
        sessionId,
        after,
        upto,
        extra: positionsOf(extras),
        traceparents,
      });
      this.#failures = 0;
      if (line === this.#line) this.#options.onAcked?.([range, ...extras]);
    } catch (error) {
      const failure = failureIn(error);
      if (failure.remedy !== 'none') {
        // What an earlier session could not take says nothing of the present one.
        if (sessionId === this.#session) this.#failures++;
        return;
      }
      this.#options.onLost(failure);
    }
    if (line !== this.#line) return;
    for (const run of [range, ...extras]) this.#owed = without(this.#owed, run);
  }
}
