// An edge in memory, as far as a client can tell: a user's sequence, streams that resume, acks that count, and faults on demand.
import { Code, type ConnectError } from '@connectrpc/connect';
import {
  type AckRequest,
  type Activity,
  type MarkInboxRequest,
  type ReauthenticateRequest,
  Resume,
  type SetActivityRequest,
  type SubscribeRequest,
} from '../gen/carillon/v1/edge_pb.ts';
import { Lane } from '../gen/carillon/v1/notification_pb.ts';
import type { Clock } from './clock.ts';
import {
  type Caller,
  type FrameInit,
  type ModelEdge,
  type ModelStream,
  meshError,
} from './model-transport.fixture.ts';

export const HEARTBEAT_MS = 25_000;

interface Row {
  /** Where it lies now: a mark moves it to the head. */
  seq: number;
  readonly firstSeq: number;
  readonly id: string;
  readonly lane: Lane;
  read: boolean;
}

export interface Subscribed {
  readonly request: SubscribeRequest;
  readonly caller: Caller;
  readonly stream: ModelStream;
  readonly sessionId: string;
  readonly atMs: number;
}

const durationOf = (ms: number) => ({
  seconds: BigInt(Math.floor(ms / 1_000)),
  nanos: Math.round((ms % 1_000) * 1_000_000),
});

export class EdgeModel implements ModelEdge {
  epoch = 'e1';
  head = 0;
  readonly rows: Row[] = [];
  /** First positions of items that were acknowledged. */
  readonly acked = new Set<number>();
  readonly ackCalls: AckRequest[] = [];
  readonly subscribed: Subscribed[] = [];
  readonly activities: { sessionId: string; activity: Activity }[] = [];
  readonly marks: MarkInboxRequest[] = [];
  readonly swaps: { sessionId: string; token: string }[] = [];
  /** Tokens that are good; undefined: all are. */
  tokens: Set<string> | undefined;
  /** Asked before a stream is opened: an error refuses it, a frame is sent instead of Hello. */
  admit: (request: SubscribeRequest, caller: Caller) => ConnectError | FrameInit | undefined = () =>
    undefined;
  /** Asked before an ack is taken, and awaited. `lost`: it counts, and its answer is an error. */
  onAck: () => Promise<'taken' | 'refused' | 'lost'> = () => Promise.resolve('taken');
  /** Sessions that this edge has given up, without a word to their clients. */
  readonly forgotten = new Set<string>();
  /** Streams say nothing, not even heartbeats; their clients are not told. */
  mute = false;
  readonly #clock: Clock;
  readonly #at = new Map<ModelStream, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get open(): Subscribed[] {
    return this.subscribed.filter(({ stream }) => !stream.over);
  }

  get last(): Subscribed {
    const last = this.subscribed.at(-1);
    if (!last) throw new Error('nobody has subscribed');
    return last;
  }

  cursor(seq: number): string {
    return `${this.epoch}/${seq}`;
  }

  /** Stores an item and sends it on. */
  add(lane: Lane = Lane.NORMAL): Row {
    const seq = ++this.head;
    const row: Row = { seq, firstSeq: seq, id: `n${seq}`, lane, read: false };
    this.rows.push(row);
    this.#sendAll();
    return row;
  }

  /** Somebody reads the item on another device. */
  read(row: Row): void {
    row.read = true;
    row.seq = ++this.head;
    this.#sendAll();
  }

  /** Sends a frame of before once more. */
  repeat(row: Row): void {
    for (const { stream } of this.open) stream.send(this.#deliver(row));
  }

  end(error?: ConnectError): void {
    for (const { stream } of this.open) stream.end(error);
  }

  goAway(reason: string, afterMs?: number, edge = ''): void {
    const reconnectAfter = afterMs === undefined ? undefined : durationOf(afterMs);
    for (const { stream } of this.open)
      stream.send({ case: 'goAway', value: { reason, edge, ...(reconnectAfter && { reconnectAfter }) } });
  }

  reauthenticateAll(): void {
    for (const { stream } of this.open) stream.send({ case: 'reauthenticate', value: {} });
  }

  beat(): void {
    if (this.mute) return;
    for (const { stream } of this.open) {
      const sentThrough = this.#at.get(stream) ?? 0;
      stream.send({
        case: 'watermark',
        value: { sentThrough, cursor: this.cursor(sentThrough), ...this.#counts() },
      });
    }
  }

  subscribe(request: SubscribeRequest, stream: ModelStream, caller: Caller): void {
    const sessionId = `s${this.subscribed.length + 1}`;
    this.subscribed.push({ request, caller, stream, sessionId, atMs: this.#clock.monotonic() });
    const refused = this.#refusal(request, caller);
    if (refused) {
      if ('case' in refused) stream.send(refused);
      else stream.end(refused as ConnectError);
      return;
    }
    const [epoch, text] = (request.cursor ?? '').split('/');
    const reset = request.cursor === undefined || epoch !== this.epoch;
    const from = reset ? this.head : Number(text);
    this.#at.set(stream, from);
    stream.send({
      case: 'hello',
      value: {
        sessionId,
        resume: reset ? Resume.RESET : Resume.RESUMED,
        resumeReason: reset ? (request.cursor === undefined ? 'NO_CURSOR' : 'OTHER_EPOCH') : '',
        cursor: this.cursor(from),
        heartbeat: durationOf(HEARTBEAT_MS),
        ...this.#counts(),
      },
    });
    this.#sendAll();
  }

  async ack(request: AckRequest, caller: Caller): Promise<number> {
    this.#authenticate(caller);
    this.ackCalls.push(request);
    const fate = await this.onAck();
    if (fate === 'refused') throw meshError('STORE_UNAVAILABLE', Code.Unavailable);
    const before = this.acked.size;
    for (const { firstSeq } of this.rows)
      if ((firstSeq > request.after && firstSeq <= request.upto) || request.extra.includes(firstSeq))
        this.acked.add(firstSeq);
    if (fate === 'lost') throw meshError('UNREACHABLE', Code.Unavailable);
    return this.acked.size - before;
  }

  setActivity(request: SetActivityRequest, caller: Caller): void {
    this.#authenticate(caller);
    if (this.forgotten.has(request.sessionId)) throw meshError('SESSION_UNKNOWN', Code.NotFound);
    this.activities.push(request);
  }

  reauthenticate({ sessionId }: ReauthenticateRequest, caller: Caller): void {
    this.#authenticate(caller);
    this.swaps.push({ sessionId, token: caller.token });
  }

  mark(request: MarkInboxRequest, caller: Caller): number {
    this.#authenticate(caller);
    this.marks.push(request);
    return request.notificationIds.length;
  }

  list() {
    const items = this.rows.map(({ seq, firstSeq, id }) => ({ seq, firstSeq, item: { notificationId: id } }));
    return { items: items.reverse(), ...this.#counts() };
  }

  #refusal(request: SubscribeRequest, caller: Caller): ConnectError | FrameInit | undefined {
    if (this.tokens && !this.tokens.has(caller.token))
      return meshError('TOKEN_EXPIRED', Code.Unauthenticated);
    const [epoch, seq] = (request.cursor ?? '').split('/');
    if (request.cursor !== undefined && seq === undefined)
      return meshError('CURSOR_MALFORMED', Code.InvalidArgument);
    if (epoch === this.epoch && Number(seq) > this.head) return meshError('CURSOR_AHEAD', Code.OutOfRange);
    return this.admit(request, caller);
  }

  #authenticate({ token }: Caller): void {
    if (this.tokens && !this.tokens.has(token)) throw meshError('TOKEN_EXPIRED', Code.Unauthenticated);
  }

  #counts(): { unseen: number; unread: number } {
    const unread = this.rows.filter(({ read }) => !read).length;
    return { unseen: unread, unread };
  }

  #deliver({ firstSeq: seq, id, lane }: Row): FrameInit {
    const item = { notificationId: id, lane, content: { title: id } };
    return { case: 'deliver', value: { seq, cursor: this.cursor(seq), item, traceparent: `trace-${seq}` } };
  }

  /** What each stream has not been sent, in the order of positions, as the edge does it. */
  #sendAll(): void {
    if (this.mute) return;
    for (const { stream } of this.open) {
      const from = this.#at.get(stream);
      if (from === undefined || from >= this.head) continue;
      this.#at.set(stream, this.head);
      const frames: [at: number, frame: FrameInit][] = [];
      for (const row of this.rows) {
        if (row.firstSeq > from) frames.push([row.firstSeq, this.#deliver(row)]);
        else if (row.seq > from) frames.push([row.seq, this.#update(row)]);
      }
      for (const [, frame] of frames.sort(([a], [b]) => a - b)) stream.send(frame);
    }
  }

  #update({ seq, firstSeq, id, read }: Row): FrameInit {
    const value = { seq, cursor: this.cursor(seq), firstSeq, notificationId: id, read, ...this.#counts() };
    return { case: 'update', value };
  }
}
