// One stream of one user: says Hello, sends what was missed, then what comes, each position once and in order.
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Attention, UserKey } from '../cluster/presence.ts';
import { TargetOutcome } from '../gen/carillon/v1/edge_link_pb.ts';
import { Resume } from '../gen/carillon/v1/edge_pb.ts';
import type { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import type { InboxPage, InboxRow } from '../storage/inbox.ts';
import type { Place } from './admission.ts';
import { type Cursor, MAX_SEQ } from './cursor.ts';
import {
  durationOf,
  goAwayFrame,
  helloFrame,
  reauthenticateFrame,
  updateFrame,
  watermarkFrame,
} from './frames.ts';
import type { Loaded, Tail } from './items.ts';
import type { Lately } from './recent.ts';
import { type InitialResume, resume } from './resume.ts';
import type { SessionHost, SessionOptions } from './session-host.ts';
import type { ClientStream } from './wire/client-stream.ts';
import { WriteTimes } from './write-times.ts';

const SECOND_MS = 1_000;
/** The last digits of a session's id. */
const RADIX = 36;

export class Session {
  // What a live item touches stands first: with 10,000 streams each line of the cache that is spared is 1 % of its cost.
  readonly stream: ClientStream;
  readonly #host: SessionHost;
  #state: 'opening' | 'open' | 'over' = 'opening';
  /** All positions up to this one have been sent, or were known to the client when it came. */
  sentThrough = 0;
  /** More bytes wait than a stream may hold: nothing is sent until the client has taken them. */
  #full = false;
  #times: WriteTimes | undefined;
  /** The frame at `sentThrough` was written live: its time is that of the last write, and `#cursorMs` is of no account. */
  #live = false;
  /** Another stream of the same user on this edge. */
  next: Session | undefined;
  /** Positions up to this one were never on this stream, and the client did not say that it has them. */
  #unknownThrough = 0;
  /** The time that goes into a cursor at `sentThrough`. A number so large lies outside the object, so live items spare it. */
  #cursorMs = 0;
  /** The part of its id that is its own on this edge. */
  readonly number: number;
  readonly user: UserKey;
  readonly deviceId: string;
  readonly mayRedirect: boolean;
  readonly place: Place | undefined;
  /** Whether the user looks at it. */
  attention: Attention;
  #cursor: Cursor | undefined;
  /** The highest position that the client acknowledged here. */
  acknowledged = 0;
  /** As the store had them at position `#countedAt`. */
  #unseen = 0;
  #unread = 0;
  #countedAt = 0;
  /** A page is asked for: waiting its turn, then being read. */
  page: 'none' | 'waiting' | 'reading' = 'none';
  /** Something came while the page was being read, so that it may not be in it. */
  #again = false;
  #beat = false;
  /** A GoAway was sent: whatever closes the stream now, the user did not leave. */
  leaving = false;
  /**
   * Of its token, by the clock that judges tokens. In seconds since the epoch these are small whole numbers, nearly always,
   * and such lie in the object.
   */
  issuedSeconds = 0;
  /** 0: it does not expire. */
  expirySeconds = 0;
  /** When the client is to be told that the token is about to expire; 0: it was, or need not be. */
  noticeSeconds = 0;
  /** Turns of the wheel since the edge's start: when it opened, when it last acknowledged (-1: never), when it is old. */
  readonly openedTurn: number;
  ackedTurn = -1;
  readonly ageTurn: number;
  /** Its place on the heartbeat wheel. */
  readonly slot: number;

  constructor(options: SessionOptions) {
    const { cursor, host } = options;
    this.number = options.number;
    this.user = options.user;
    this.deviceId = options.deviceId;
    this.place = options.place;
    this.mayRedirect = options.mayRedirect;
    this.attention = options.attention;
    this.stream = options.stream;
    this.#host = host;
    this.#cursor = cursor;
    this.openedTurn = options.openedTurn;
    this.ageTurn = options.ageTurn;
    this.slot = options.slot;
    // Without a cursor of this store only head and counts are read.
    this.sentThrough = cursor?.epoch === host.frames.epoch ? cursor.seq : MAX_SEQ;
  }

  get id(): string {
    return this.#host.idPrefix + this.number.toString(RADIX);
  }

  get over(): boolean {
    return this.#state === 'over';
  }

  /** Hello was sent. */
  get open(): boolean {
    return this.#state === 'open';
  }

  /** A live item. Written when it is the next position, else left to the store. */
  offer(seq: number, tail: Tail, nowMs: number): TargetOutcome {
    if (this.#state !== 'open') return this.#late();
    if (seq <= this.sentThrough)
      return seq > this.#unknownThrough ? TargetOutcome.ALREADY : TargetOutcome.NO_SESSION;
    if (this.#full) return TargetOutcome.CATCHING_UP;
    if (seq !== this.sentThrough + 1) {
      this.catchUp();
      return TargetOutcome.CATCHING_UP;
    }
    if (this.stream.bufferedBytes > limits.streamBufferBytes) {
      this.#stop();
      return TargetOutcome.CATCHING_UP;
    }
    this.#deliver(seq, nowMs, tail, nowMs);
    return TargetOutcome.WRITTEN;
  }

  #late(): TargetOutcome {
    if (this.#state === 'over') return TargetOutcome.NO_SESSION;
    this.catchUp();
    return TargetOutcome.CATCHING_UP;
  }

  /** At least so long ago was `seq`, which was sent here or known before, written; milliseconds. */
  agoMs(seq: number, nowMs: number): number {
    return this.#times?.agoMs(seq, nowMs) ?? 0;
  }

  /** The inbox may have moved past what was sent: reads what follows. */
  catchUp(): void {
    if (this.#state === 'over' || this.#full) return;
    if (this.page === 'none') this.#host.requestPage(this);
    else if (this.page === 'reading') this.#again = true;
  }

  /** Asks for a heartbeat: a Watermark after the next look at the store, which also heals what a link lost. */
  beat(): void {
    this.#beat = true;
    this.catchUp();
  }

  /** A heartbeat was asked for and still waits for the store. */
  get beatWaits(): boolean {
    return this.#beat;
  }

  /** Everything that is committed by now will be in the page that is read next. */
  reading(): void {
    this.page = 'reading';
    this.#again = false;
  }

  /** What the store says; `readMs`: when the reading began. Sends Hello first if that is still to be done. */
  apply(page: InboxPage, items: Loaded, readMs: number): void {
    this.page = 'none';
    if (this.#state === 'over') return;
    if (this.#state === 'opening' && !this.#hello(page, readMs)) return;
    this.#count(page.head, page);
    const done = this.#sendRows(page, items);
    if (done && page.complete && page.head >= this.sentThrough) {
      this.sentThrough = page.head;
      this.#cursorMs = readMs;
      this.#live = false;
    }
    if (this.#beat) this.watermark();
    if (!this.#full && (this.#again || !done || !page.complete)) this.#host.requestPage(this);
  }

  /** The store did not answer. A stream that has not begun ends; others keep what they have. */
  failed(error: CarillonError): void {
    this.page = 'none';
    if (this.#state === 'opening') this.end(error);
    else if (this.#beat) this.watermark();
  }

  /** False when it was stopped: by a full buffer, or by items that were not loaded. */
  #sendRows(page: InboxPage, items: Loaded): boolean {
    const nowMs = this.#host.clock.now();
    // Live frames may have passed the position from which the page was read.
    const base = this.sentThrough;
    for (const row of page.rows) {
      if (row.at <= base) continue;
      if (this.stream.bufferedBytes > limits.streamBufferBytes) {
        this.#stop();
        return false;
      }
      if (row.at !== row.firstSeq) {
        // Past `base` the item itself comes before, in this page, with the mark on it.
        if (row.firstSeq <= base) this.#update(row, page, nowMs);
      } else if (items.beyond(row.notificationId)) return false;
      else {
        const tail = items.tail(row);
        if (tail) this.#deliver(row.at, row.atMs, tail, nowMs);
      }
      this.sentThrough = row.at;
      this.#cursorMs = row.atMs;
      this.#live = false;
    }
    return true;
  }

  /** Begins from memory: the client has all that was sent by the time it left, and is looked up in the store afterwards. */
  greet({ seq, timeMs, unseen, unread }: Lately): void {
    this.#cursor = undefined;
    this.#count(seq, { unseen, unread });
    this.#begin({ kind: 'start', resume: Resume.RESUMED, reason: '', seq, timeMs }, timeMs);
  }

  /** What is known of the user when the stream ends, for a client that comes back; undefined when it never began. */
  get lately(): Lately | undefined {
    if (!this.#times) return undefined;
    return {
      seq: this.sentThrough,
      timeMs: this.#cursorTimeMs(),
      ...this.#counts(),
    };
  }

  #count(head: number, { unseen, unread }: Pick<Lately, 'unseen' | 'unread'>): void {
    this.#unseen = unseen;
    this.#unread = unread;
    this.#countedAt = head;
  }

  /** What was sent live past the position that was counted are new items, all of them. */
  #counts(): Pick<Lately, 'unseen' | 'unread'> {
    const since = Math.max(0, this.sentThrough - this.#countedAt);
    return { unseen: this.#unseen + since, unread: this.#unread + since };
  }

  #hello(page: InboxPage, readMs: number): boolean {
    const { epoch } = this.#host.frames;
    const start: InitialResume = resume(this.#cursor, epoch, page.head, this.#host.keptSinceMs);
    this.#cursor = undefined;
    if (start.kind === 'refused') {
      this.end(start.error);
      return false;
    }
    this.#count(page.head, page);
    this.#begin(start, readMs);
    return true;
  }

  #begin(start: InitialResume & { kind: 'start' }, readMs: number): void {
    this.#state = 'open';
    this.sentThrough = start.seq;
    this.acknowledged = start.seq;
    this.#cursorMs = start.timeMs ?? readMs;
    if (start.timeMs === undefined) this.#unknownThrough = start.seq;
    this.#times = new WriteTimes(start.seq, this.#host.clock.now());
    this.#send(
      helloFrame({
        sessionId: this.id,
        resume: start.resume,
        resumeReason: start.reason,
        cursor: this.#host.frames.cursor(this.sentThrough, this.#cursorMs),
        ...this.#counts(),
        heartbeat: durationOf(limits.heartbeatMs),
        tokenExpiry: this.#tokenExpiry(),
      }),
    );
  }

  #tokenExpiry() {
    return this.expirySeconds === 0 ? undefined : timestampFromMs(this.expirySeconds * SECOND_MS);
  }

  #deliver(seq: number, cursorMs: number, tail: Tail, nowMs: number): void {
    const traceparent = tail.traceparent === undefined ? undefined : this.#frameSpan(tail.traceparent, seq);
    const head = this.#host.frames.deliverHead(seq, cursorMs, tail.bytes.length, traceparent);
    this.stream.send(head, tail.bytes);
    this.#host.countBytes(head.length + tail.bytes.length);
    this.sentThrough = seq;
    this.#live = true;
    this.#times?.wrote(seq, nowMs);
  }

  #frameSpan(parent: string, seq: number): string {
    const span = this.#host.tracing.span('frame', {
      parent,
      kind: 'producer',
      attributes: { 'carillon.seq': seq, 'carillon.session': this.id },
    });
    span.end();
    return span.traceparent ?? parent;
  }

  #update(row: InboxRow, page: InboxPage, nowMs: number): void {
    this.#send(
      updateFrame({
        seq: row.at,
        cursor: this.#host.frames.cursor(row.at, row.atMs),
        firstSeq: row.firstSeq,
        notificationId: row.notificationId,
        seen: row.seen,
        read: row.read,
        archived: row.archived,
        unseen: page.unseen,
        unread: page.unread,
      }),
    );
    this.#times?.wrote(row.at, nowMs);
  }

  #cursorTimeMs(): number {
    if (!this.#live || !this.#times) return this.#cursorMs;
    const nowMs = this.#host.clock.now();
    return nowMs - this.#times.sinceLastMs(nowMs);
  }

  /** The heartbeat's frame, with what is known now. */
  watermark(): void {
    this.#beat = false;
    if (this.#state !== 'open' || this.#full) return;
    this.#send(
      watermarkFrame({
        sentThrough: this.sentThrough,
        cursor: this.#host.frames.cursor(this.sentThrough, this.#cursorTimeMs()),
        ...this.#counts(),
      }),
    );
  }

  /**
   * Asks the client to come back `afterMs` from now, to `edge` when that is not empty. It may still acknowledge until the
   * stream is ended.
   */
  goAway(reason: string, afterMs: number, edge = ''): void {
    if (this.#state === 'over' || this.leaving) return;
    this.leaving = true;
    this.#send(goAwayFrame({ reason, reconnectAfter: durationOf(afterMs), edge }));
  }

  /** Tells the client that its token is about to expire. */
  noticeExpiry(): void {
    this.noticeSeconds = 0;
    if (this.#state === 'open') this.#send(reauthenticateFrame({ tokenExpiry: this.#tokenExpiry() }));
  }

  end(error?: CarillonError): void {
    if (this.#state === 'over') return;
    this.stream.end(error);
    this.#state = 'over';
  }

  /** The stream is over; nothing is sent or read for it any more. */
  closed(): void {
    this.#state = 'over';
  }

  #send(frame: Uint8Array): void {
    this.stream.send(frame);
    this.#host.countBytes(frame.length);
  }

  /** Stops sending; what comes meanwhile is read from the store once the client has taken what waits. */
  #stop(): void {
    this.#full = true;
    this.stream.onDrain(() => {
      this.#full = false;
      this.catchUp();
    });
  }
}
