// The batches of one link: sent while the edge gives credit for them, each answered in time, if only by silence; bounded in all.
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type DeliverRequest,
  DeliverRequestSchema,
  type DeliverResponse,
} from '../gen/carillon/v1/edge_link_pb.ts';
import type { Clock, Timer } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';

/**
 * `opening`: what comes waits for the link. `open`: it is sent. `down`: the last attempt failed; everything is refused
 * at once, so that nobody waits for an edge that is gone.
 */
type State = 'opening' | 'open' | 'down';

interface Waiting {
  request: MessageInitShape<typeof DeliverRequestSchema>;
  bytes: number;
  timer: Timer;
  resolve(response: DeliverResponse | undefined): void;
}

export interface LinkBatchesOptions {
  clock: Clock;
  /** Calls `taken` when the socket has it. */
  write(request: DeliverRequest, taken: () => void): void;
  /** A batch was not answered in time. */
  onLate(): void;
}

export class LinkBatches {
  readonly #options: LinkBatchesOptions;
  #state: State = 'opening';
  /** Which of the link's streams it is, one after the other. */
  #stream = 0;
  #credits = 0;
  #number = 0;
  /** Not sent yet, oldest first. */
  readonly #queue: Waiting[] = [];
  /** Sent and not answered: undefined when nobody waits any more; the edge's credit is spent all the same. */
  readonly #sent = new Map<number, Waiting | undefined>();
  /** Batches that somebody waits for; bytes that are queued, or written and not yet taken. */
  #count = 0;
  #bytes = 0;
  /** The last batch was not answered in time, and nothing has come since. */
  #stalled = false;

  constructor(options: LinkBatchesOptions) {
    this.#options = options;
  }

  /** Undefined when it was not answered: the link is down or full, or the edge says nothing within `limits.linkAnswerMs`. */
  ask(request: Waiting['request'], bytes: number): Promise<DeliverResponse | undefined> {
    if (!this.#takes(bytes)) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const waiting: Waiting = {
        request,
        bytes,
        resolve,
        timer: this.#options.clock.after(limits.linkAnswerMs, () => this.#late(waiting)),
      };
      this.#count++;
      this.#bytes += bytes;
      this.#queue.push(waiting);
      this.#pump();
    });
  }

  #takes(bytes: number): boolean {
    // A stalled edge gets one batch at a time, to learn when it is back; the others do not wait for it.
    if (this.#state === 'down' || (this.#stalled && this.#count > 0)) return false;
    return (
      this.#count < limits.linkPendingCount &&
      (this.#bytes === 0 || this.#bytes + bytes <= limits.linkBufferBytes)
    );
  }

  #pump(): void {
    while (this.#state === 'open' && this.#sent.size < this.#credits) {
      const waiting = this.#queue.shift();
      if (!waiting) return;
      this.#number = (this.#number % 0xffff_ffff) + 1;
      this.#sent.set(this.#number, waiting);
      const request = create(DeliverRequestSchema, { ...waiting.request, batch: this.#number });
      const stream = this.#stream;
      this.#options.write(request, () => {
        if (stream === this.#stream) this.#bytes -= waiting.bytes;
      });
    }
  }

  #late(waiting: Waiting): void {
    const at = this.#queue.indexOf(waiting);
    if (at >= 0) {
      this.#queue.splice(at, 1);
      this.#bytes -= waiting.bytes;
    } else for (const [number, each] of this.#sent) if (each === waiting) this.#sent.set(number, undefined);
    this.#stalled = true;
    this.#settle(waiting, undefined);
    this.#options.onLate();
  }

  #settle(waiting: Waiting, response: DeliverResponse | undefined): void {
    this.#count--;
    waiting.timer[Symbol.dispose]();
    waiting.resolve(response);
  }

  /** The edge greeted: so many batches may be without answer. */
  opened(credits: number): void {
    this.#state = 'open';
    this.#credits = Math.max(1, credits);
    this.#number = 0;
    this.#stalled = false;
    this.#pump();
  }

  /** Anything came from the edge. */
  heard(): void {
    this.#stalled = false;
  }

  answered(response: DeliverResponse): void {
    const waiting = this.#sent.get(response.batch);
    if (!this.#sent.delete(response.batch)) return;
    if (waiting) this.#settle(waiting, response);
    this.#pump();
  }

  /** The stream ended: nothing that was sent will be answered. What comes now waits, or is refused at once. */
  closed(state: 'opening' | 'down'): void {
    this.#state = state;
    this.#stream++;
    const waiting = [...this.#sent.values(), ...this.#queue];
    this.#sent.clear();
    this.#queue.length = 0;
    this.#bytes = 0;
    this.#stalled = false;
    for (const each of waiting) if (each) this.#settle(each, undefined);
  }
}
