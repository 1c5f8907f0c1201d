// Writes down what one process's devices see, and reports it in batches.
import { type Clock, systemClock, type Timer } from '../../runtime/clock.ts';
import type { Device } from './history.ts';
import { emptyReport, type Report } from './reports.ts';

const REPORT_MS = 250;
/** More rows than this in one report: the harness no longer follows, and the run means nothing. */
const REPORT_ROWS = 100_000;

/** Tells of one device. */
export interface Witness {
  /** It asks an edge for a stream; called with the outcome, when an edge has been reached at all. */
  arriving(url: string): () => void;
  hello(): void;
  /** It hangs up by its own will, until the next Hello. */
  leaving(): void;
  /** Its handler was called. */
  seen(notificationId: string, seq: number): void;
  /** An edge has answered its Ack of `(after, upto]` and of these. */
  acked(after: number, upto: number, extra: readonly number[]): void;
  surprise(what: string): void;
}

export class Reporter implements Disposable {
  readonly #send: (report: Report) => void;
  readonly #clock: Clock;
  readonly #timer: Timer;
  #report = emptyReport();

  constructor(send: (report: Report) => void, clock: Clock = systemClock) {
    this.#send = send;
    this.#clock = clock;
    this.#timer = clock.every(REPORT_MS, () => this.flush());
  }

  witness({ id }: Device): Witness {
    /** Seen, and not acknowledged yet; rising. */
    let open: number[] = [];
    let leftMs: number | undefined;
    let greeted = false;
    const now = () => this.#clock.now();
    return {
      arriving: (url) => {
        const atMs = now();
        return () => void this.#report.arrivals.push([id, url, atMs, now()]);
      },
      hello: () => {
        if (!greeted) this.#report.ready.push(id);
        greeted = true;
        if (leftMs !== undefined) this.#report.absences.push([id, leftMs, now()]);
        leftMs = undefined;
      },
      leaving: () => {
        leftMs ??= now();
      },
      seen: (notificationId, seq) => {
        open.push(seq);
        this.#report.seen.push([id, notificationId, seq, now()]);
      },
      acked: (after, upto, extra) => {
        const atMs = now();
        open = open.filter((seq) => {
          const done = (seq > after && seq <= upto) || extra.includes(seq);
          if (done) this.#report.acked.push([id, seq, atMs]);
          return !done;
        });
      },
      surprise: (what) => void this.#report.surprises.push(`device ${id}: ${what}`),
    };
  }

  flush(): void {
    const rows = Object.values(this.#report).reduce((sum, of) => sum + of.length, 0);
    if (rows === 0) return;
    if (rows > REPORT_ROWS) throw new Error(`${rows} rows in one report`);
    this.#send(this.#report);
    this.#report = emptyReport();
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
    this.flush();
  }
}
