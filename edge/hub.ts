// Who is connected here: takes batches from links and hands each user's streams their frame, with nothing made per target but its head.
import { create } from '@bufbuild/protobuf';
import type { Changed, Target, TargetResult } from '../cluster/edge-link.ts';
import type { Attention, Presence, UserKey } from '../cluster/presence.ts';
import { TargetOutcome, TargetResultSchema } from '../gen/carillon/v1/edge_link_pb.ts';
import { Activity } from '../gen/carillon/v1/edge_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import type { Ids } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { Tracing } from '../runtime/tracing.ts';
import { FrameWriter } from './frames.ts';
import { Heartbeat, turnsOf } from './heartbeat.ts';
import { ItemCache, type ReadContents, type Tail, tailOf } from './items.ts';
import { Recent } from './recent.ts';
import { type ReadPages, Replay } from './replay.ts';
import { Session } from './session.ts';
import type { Opening, SessionHost } from './session-host.ts';
import { TokenExpiry } from './token-expiry.ts';
import { Verification } from './verification.ts';
import type { ClientStream } from './wire/client-stream.ts';

export interface HubOptions {
  /** The edge's name in the cluster, and the start of its process. */
  node: string;
  incarnation: string;
  epoch: string;
  keptSinceMs: number;
  readPages: ReadPages;
  readContents: ReadContents;
  presence: Pick<Presence, 'enter' | 'leave'>;
  /** The stream is as old as it should get: tells its client to come back, now or in a later round of the wheel. */
  onOld: (session: Session) => void;
  /** The clock that tokens are judged by. */
  tokenNowMs: () => number;
  clock: Clock;
  ids: Ids;
  tracing: Tracing;
  metrics: Pick<Metrics, 'edgeStreams' | 'edgeFrameBytesTotal' | 'edgeGreetedTotal'>;
  log: Log;
}

/** Targets that are looked up before the first of them is written to. */
const AHEAD_COUNT = 32;
const OUTCOMES = ['', 'WRITTEN', 'ALREADY', 'CATCHING_UP', 'NO_SESSION'];
const result = (outcome: TargetOutcome, agoMs = 0): TargetResult =>
  create(TargetResultSchema, { outcome, agoMs });
const WRITTEN = result(TargetOutcome.WRITTEN);
const CATCHING_UP = result(TargetOutcome.CATCHING_UP);
const NO_SESSION = result(TargetOutcome.NO_SESSION);

/** Who calls about a session. `deviceId`: what the token is bound to; empty: none, so that every device of the user is meant. */
export interface Caller extends UserKey {
  deviceId: string;
}

const FROM_MEMORY = { from: 'memory' };
const FROM_STORE = { from: 'store' };
/** The digits of a session's number. */
const NUMBER = /^[1-9a-z][0-9a-z]{0,9}$/;

export class Hub implements SessionHost, Disposable {
  readonly idPrefix: string;
  readonly frames: FrameWriter;
  readonly clock: Clock;
  readonly tracing: Tracing;
  readonly items: ItemCache;
  keptSinceMs: number;
  readonly #options: HubOptions;
  readonly #users = new Map<string, Map<string, Session>>();
  /** The tenant that was looked up last, and its users: a batch seldom has two. */
  #lastTenant = '';
  #lastUsers: Map<string, Session> | undefined;
  /** By number. */
  readonly #sessions = new Map<number, Session>();
  readonly #replay: Replay;
  readonly #heartbeat: Heartbeat;
  readonly #expiry: TokenExpiry;
  readonly #recent: Recent;
  readonly #verification: Verification;
  /** The first sessions of the next targets of a batch. */
  readonly #ahead: (Session | undefined)[] = new Array(AHEAD_COUNT).fill(undefined);
  #opened = 0;
  #frameBytes = 0;

  constructor(options: HubOptions) {
    this.#options = options;
    this.idPrefix = `${options.node}.${options.incarnation}.`;
    this.frames = new FrameWriter(options.epoch);
    this.clock = options.clock;
    this.tracing = options.tracing;
    this.keptSinceMs = options.keptSinceMs;
    this.items = new ItemCache(options.readContents);
    this.#replay = new Replay({ ...options, items: this.items });
    this.#expiry = new TokenExpiry(options.tokenNowMs);
    this.#recent = new Recent(options.clock);
    this.#verification = new Verification(options.clock);
    this.#heartbeat = new Heartbeat({
      ...options,
      onVisit: (session) => this.#expiry.watch(session),
      onTurn: () => {
        this.#expiry.turn();
        this.#count();
      },
    });
  }

  get streams(): number {
    return this.#sessions.size;
  }

  sessions(): Session[] {
    return [...this.#sessions.values()];
  }

  /** The session is one of this edge's, over or not. */
  isOwn(id: string): boolean {
    return id.startsWith(this.idPrefix);
  }

  #named(id: string): Session | undefined {
    const digits = this.isOwn(id) ? id.slice(this.idPrefix.length) : '';
    return NUMBER.test(digits) ? this.#sessions.get(Number.parseInt(digits, 36)) : undefined;
  }

  /** Whether the session is open here, whoever's it is. */
  holds(id: string): boolean {
    return this.#named(id) !== undefined;
  }

  /** Undefined when no such session is here, or it is another user's or, for a token bound to a device, another device's. */
  session(id: string, { tenant, userId, deviceId }: Caller): Session | undefined {
    const session = this.#named(id);
    if (session?.user.tenant !== tenant || session.user.userId !== userId || session.over) return undefined;
    return deviceId === '' || deviceId === session.deviceId ? session : undefined;
  }

  /** The user's streams, the newest first. */
  sessionsOf({ tenant, userId }: UserKey): Session[] {
    const sessions: Session[] = [];
    for (let at = this.#find(tenant, userId); at; at = at.next) sessions.push(at);
    return sessions;
  }

  /** Turns of the wheel since the start; what sessions keep of time. */
  get turn(): number {
    return this.#heartbeat.now;
  }

  /**
   * Registers the stream, so that nothing which comes from now on is missed. Hello follows at once when all that its cursor
   * needs is remembered, else when the head was read.
   */
  open(opening: Opening, stream: ClientStream): Session {
    const { tenant, userId } = opening.user;
    let users = this.#users.get(tenant);
    if (!users) {
      users = new Map();
      this.#users.set(tenant, users);
    }
    const before = users.get(userId);
    const attention = attentionOf(before);
    const turn = this.#heartbeat.now;
    const session = new Session({
      ...opening,
      user: before?.user ?? opening.user,
      number: ++this.#opened,
      stream,
      host: this,
      openedTurn: turn,
      ageTurn: turn + turnsOf(limits.streamAgeMs * (0.5 + this.#options.ids.random() / 2)),
      slot: this.#heartbeat.slot(),
    });
    session.next = before;
    users.set(userId, session);
    this.#sessions.set(session.number, session);
    this.#heartbeat.add(session);
    this.#expiry.renew(session, opening.issuedMs, opening.expiresMs);
    this.#attend(session.user, attention, attentionOf(session));
    stream.onClose((why) => this.#close(session, why === 'client' && !session.leaving));
    this.#begin(session, opening);
    return session;
  }

  #begin(session: Session, { cursor }: Opening): void {
    const { tenant, userId } = session.user;
    const own = cursor?.epoch === this.frames.epoch ? cursor : undefined;
    const lately = own && !isPast(own.seq, session.next) ? this.#recent.find(tenant, userId, own) : undefined;
    this.#options.metrics.edgeGreetedTotal.add(1, lately ? FROM_MEMORY : FROM_STORE);
    if (lately) session.greet(lately);
    else this.#replay.request(session);
    this.#verification.add(session);
  }

  #close(session: Session, byUser: boolean): void {
    session.closed();
    session.place?.leave();
    this.#sessions.delete(session.number);
    this.#heartbeat.remove(session);
    const { user, lately } = session;
    if (lately) this.#recent.left(user.tenant, user.userId, lately);
    const users = this.#users.get(user.tenant);
    const first = users?.get(user.userId);
    if (!users || !first) return;
    const attention = attentionOf(first);
    if (first === session && !session.next) {
      users.delete(user.userId);
      if (users.size === 0) {
        this.#users.delete(user.tenant);
        this.#lastUsers = undefined;
      }
      this.#options.presence.leave(user, this.#options.node, byUser);
      return;
    }
    if (first === session) users.set(user.userId, session.next as Session);
    else {
      let at: Session | undefined = first;
      while (at && at.next !== session) at = at.next;
      if (at) at.next = session.next;
    }
    this.#attend(user, attention, attentionOf(users.get(user.userId)));
  }

  /** The client says whether the user looks at this stream. */
  setAttention(session: Session, attention: Attention): void {
    const first = this.#find(session.user.tenant, session.user.userId);
    const before = attentionOf(first);
    session.attention = attention;
    this.#attend(session.user, before, attentionOf(first));
  }

  /** The best of the user's streams counts; presence is told when that is another than before. */
  #attend(user: UserKey, before: Attention | undefined, now: Attention | undefined): void {
    if (now !== undefined && now !== before) this.#options.presence.enter(user, this.#options.node, now);
  }

  /** The stream goes on with another token. */
  renew(session: Session, issuedMs: number, expiresMs: number | undefined): void {
    this.#expiry.renew(session, issuedMs, expiresMs);
  }

  /** The client has acknowledged all up to `seq`, here or at another edge. */
  acknowledged(session: Session, seq: number): void {
    session.acknowledged = Math.max(session.acknowledged, Math.min(seq, session.sentThrough));
    session.ackedTurn = this.#heartbeat.now;
  }

  /** The user's first session; the others hang on it. */
  #find(tenant: string, userId: string): Session | undefined {
    if (tenant !== this.#lastTenant || this.#lastUsers === undefined) {
      this.#lastTenant = tenant;
      this.#lastUsers = this.#users.get(tenant);
    }
    return this.#lastUsers?.get(userId);
  }

  async deliver(items: readonly Uint8Array[], targets: readonly Target[]): Promise<TargetResult[]> {
    const results = new Array<TargetResult>(targets.length);
    const tails = items.map(tailOf);
    for (let from = 0; from < targets.length; from += limits.deliverSliceCount) {
      if (from > 0) await new Promise((resolve) => setImmediate(resolve));
      const upto = Math.min(from + limits.deliverSliceCount, targets.length);
      const nowMs = this.clock.now();
      for (let at = from; at < upto; at += AHEAD_COUNT) {
        // Looked up together, so that the processor waits for their memory together: between two writes it waits for each.
        const end = Math.min(at + AHEAD_COUNT, upto);
        for (let next = at; next < end; next++) {
          const { tenant, userId } = targets[next]!;
          const first = this.#find(tenant, userId);
          this.#ahead[next - at] = first?.over === false ? first : undefined;
        }
        for (let next = at; next < end; next++)
          results[next] = this.#deliver(this.#ahead[next - at], targets[next]!, tails, nowMs);
      }
    }
    return results;
  }

  #deliver(first: Session | undefined, target: Target, tails: readonly Tail[], nowMs: number): TargetResult {
    const tail = tails[target.item];
    if (!first) this.#recent.forget(target.tenant, target.userId);
    // A batch that names an item which it does not bring is a defect; the store has the item.
    if (!first || !tail) return NO_SESSION;
    return tail.traceparent === undefined
      ? offer(first, target.seq, tail, nowMs)
      : this.#deliverTraced(first, target.seq, tail, nowMs);
  }

  #deliverTraced(first: Session, seq: number, tail: Tail, nowMs: number): TargetResult {
    const span = this.tracing.span('link', {
      parent: tail.traceparent,
      kind: 'consumer',
      attributes: { 'carillon.edge': this.#options.node, 'carillon.seq': seq },
    });
    const answer = offer(first, seq, { bytes: tail.bytes, traceparent: span.traceparent }, nowMs);
    span.set({ 'carillon.outcome': OUTCOMES[Number(answer.outcome)] ?? '' });
    span.end();
    return answer;
  }

  /** Inboxes changed: streams that are behind read what is new. */
  changed(users: readonly Changed[]): void {
    for (const { tenant, userId, head } of users) {
      const first = this.#find(tenant, userId);
      if (!first) this.#recent.forget(tenant, userId);
      for (let session = first; session; session = session.next)
        if (!session.open || head > session.sentThrough) session.catchUp();
    }
  }

  requestPage(session: Session): void {
    this.#replay.request(session);
  }

  countBytes(bytes: number): void {
    this.#frameBytes += bytes;
  }

  #count(): void {
    const { metrics } = this.#options;
    metrics.edgeStreams.record(this.#sessions.size);
    if (this.#frameBytes > 0) metrics.edgeFrameBytesTotal.add(this.#frameBytes);
    this.#frameBytes = 0;
  }

  [Symbol.dispose](): void {
    this.#heartbeat[Symbol.dispose]();
    this.#replay[Symbol.dispose]();
    this.#verification[Symbol.dispose]();
    for (const session of this.sessions()) session.end(new CarillonError('SHUTTING_DOWN'));
    this.#count();
  }
}

/** What became of it over all streams of the user: the best that happened to any. */
function offer(first: Session, seq: number, tail: Tail, nowMs: number): TargetResult {
  let written = false;
  let catchingUp = false;
  let agoMs = -1;
  for (let session: Session | undefined = first; session; session = session.next) {
    const outcome = session.offer(seq, tail, nowMs);
    if (outcome === TargetOutcome.WRITTEN) written = true;
    else if (outcome === TargetOutcome.CATCHING_UP) catchingUp = true;
    else if (outcome === TargetOutcome.ALREADY) agoMs = Math.max(agoMs, session.agoMs(seq, nowMs));
  }
  if (written) return WRITTEN;
  if (agoMs >= 0) return result(TargetOutcome.ALREADY, Math.floor(agoMs));
  return catchingUp ? CATCHING_UP : NO_SESSION;
}

/** Whether one of these streams has got past the position. */
function isPast(seq: number, first: Session | undefined): boolean {
  for (let session = first; session; session = session.next)
    if (session.open && session.sentThrough > seq) return true;
  return false;
}

/** The best of these streams' attention; undefined when there is none. */
function attentionOf(first: Session | undefined): Attention | undefined {
  for (let session = first; session; session = session.next)
    if (session.attention === Activity.FOREGROUND) return Activity.FOREGROUND;
  return first && Activity.BACKGROUND;
}
