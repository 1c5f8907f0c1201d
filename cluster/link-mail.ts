// What a router has to say to an edge besides batches: gathered for one turn of the loop, and sent together.
import { create } from '@bufbuild/protobuf';
import {
  type Changed,
  type DeliverRequest,
  DeliverRequestSchema,
  type Signal,
  type SignalOutcome,
  type SignalResult,
  SignalResultSchema,
} from '../gen/carillon/v1/edge_link_pb.ts';
import { limits } from '../runtime/limits.ts';

export class LinkMail {
  readonly #write: (request: DeliverRequest) => void;
  #changed: Changed[] = [];
  #signals: Signal[] = [];
  #results: SignalResult[] = [];
  #posting = false;

  /** `write`: puts it on the stream, or drops it: all of this is said again by somebody, or waited for with a bound. */
  constructor(write: (request: DeliverRequest) => void) {
    this.#write = write;
  }

  changed(users: readonly Changed[]): void {
    for (const user of users) this.#changed.push(user);
    this.#post();
  }

  signal(signal: Signal): void {
    this.#signals.push(signal);
    this.#post();
  }

  result(id: number, outcome: SignalOutcome): void {
    this.#results.push(create(SignalResultSchema, { id, outcome }));
    this.#post();
  }

  #post(): void {
    if (this.#posting) return;
    this.#posting = true;
    queueMicrotask(() => {
      this.#posting = false;
      const [changed, signals, signalResults] = [this.#changed, this.#signals, this.#results];
      this.#changed = [];
      this.#signals = [];
      this.#results = [];
      const most = Math.max(changed.length, signals.length, signalResults.length);
      for (let at = 0; at < most; at += limits.linkMailCount) {
        const end = at + limits.linkMailCount;
        this.#write(
          create(DeliverRequestSchema, {
            changed: changed.slice(at, end),
            signals: signals.slice(at, end),
            signalResults: signalResults.slice(at, end),
          }),
        );
      }
    });
  }
}
