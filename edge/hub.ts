// Who is connected here: takes batches from links and hands each user's streams their frame, with nothing made per target but its head.
import { create } from '@bufbuild/protobuf';
import type { Changed, EdgePort, Target, TargetResult } from '../cluster/edge-link.ts';
import type { Presence } from '../cluster/presence.ts';
import { ChangedSchema, TargetOutcome, TargetResultSchema } from '../gen/carillon/v1/edge_link_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import type { Ids } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { Tracing } from '../runtime/tracing.ts';
import type { Cursor } from './cursor.ts';
import { FrameWriter } from './frames.ts';
import { Heartbeat } from './heartbeat.ts';
import { ItemCache, type ReadContents, type Tail, tailOf } from './items.ts';
import { type ReadPages, Replay } from './replay.ts';
import { Session, type SessionHost } from './session.ts';
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
  clock: Clock;
  ids: Ids;
  tracing: Tracing;
  metrics: Pick<Metrics, 'edgeStreams' | 'edgeFrameBytesTotal'>;
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

export class Hub implements EdgePort, SessionHost, Disposable {
  readonly node: string;
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
  readonly #sessions = new Map<string, Session>();
  readonly #replay: Replay;
  readonly #heartbeat: Heartbeat;
  readonly #listeners = new Set<(users: readonly Changed[]) => void>();
  /** The first sessions of the next targets of a batch. */
  readonly #ahead: (Session | undefined)[] = new Array(AHEAD_COUNT).fill(undefined);
  #opened = 0;
  #frameBytes = 0;

  constructor(options: HubOptions) {
    this.#options = options;
    this.node = options.node;
    this.frames = new FrameWriter(options.epoch);
    this.clock = options.clock;
    this.tracing = options.tracing;
    this.keptSinceMs = options.keptSinceMs;
    this.items = new ItemCache(options.readContents);
    this.#replay = new Replay({ ...options, items: this.items });
    this.#heartbeat = new Heartbeat({ ...options, onTurn: () => this.#count() });
  }

  get streams(): number {
    return this.#sessions.size;
  }

  sessions(): Session[] {
    return [...this.#sessions.values()];
  }

  /** Undefined when no such session is here, or it is another user's. */
  session(id: string, tenant: string, userId: string): Session | undefined {
    const session = this.#sessions.get(id);
    return session?.user.tenant === tenant && session.user.userId === userId ? session : undefined;
  }

  /** Whether the session is open here, whoever's it is. */
  holds(id: string): boolean {
    return this.#sessions.has(id);
  }

  streamsOf(tenant: string, userId: string): number {
    let count = 0;
    for (let at = this.#find(tenant, userId); at; at = at.next) count++;
    return count;
  }

  /** Registers the stream, so that nothing which comes from now on is missed; Hello follows when the head was read. */
  open(tenant: string, userId: string, cursor: Cursor | undefined, stream: ClientStream): Session {
    const { node, incarnation, ids, presence } = this.#options;
    let users = this.#users.get(tenant);
    if (!users) {
      users = new Map();
      this.#users.set(tenant, users);
    }
    const before = users.get(userId);
    const session = new Session({
      id: `${node}.${incarnation}.${(++this.#opened).toString(36)}`,
      user: before?.user ?? { tenant, userId },
      stream,
      cursor,
      host: this,
      expiresMs: this.clock.now() + limits.streamAgeMs * (0.5 + ids.random() / 2),
      slot: this.#heartbeat.slot(),
    });
    session.next = before;
    users.set(userId, session);
    this.#sessions.set(session.id, session);
    this.#heartbeat.add(session);
    if (!before) presence.enter(session.user, node);
    stream.onClose((why) => this.#close(session, why === 'client' && !session.leaving));
    this.#replay.request(session);
    return session;
  }

  #close(session: Session, byUser: boolean): void {
    session.closed();
    this.#sessions.delete(session.id);
    this.#heartbeat.remove(session);
    const { user } = session;
    const users = this.#users.get(user.tenant);
    const first = users?.get(user.userId);
    if (!users || !first) return;
    if (first !== session) {
      let at: Session | undefined = first;
      while (at && at.next !== session) at = at.next;
      if (at) at.next = session.next;
      return;
    }
    if (session.next) {
      users.set(user.userId, session.next);
      return;
    }
    users.delete(user.userId);
    if (users.size === 0) {
      this.#users.delete(user.tenant);
      this.#lastUsers = undefined;
    }
    this.#options.presence.leave(user, this.node, byUser);
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
      attributes: { 'carillon.edge': this.node, 'carillon.seq': seq },
    });
    const answer = offer(first, seq, { bytes: tail.bytes, traceparent: span.traceparent }, nowMs);
    span.set({ 'carillon.outcome': OUTCOMES[Number(answer.outcome)] ?? '' });
    span.end();
    return answer;
  }

  changed(users: readonly Changed[]): void {
    for (const { tenant, userId, head } of users)
      for (let session = this.#find(tenant, userId); session; session = session.next)
        if (!session.open || head > session.sentThrough) session.catchUp();
  }

  onChanged(listener: (users: readonly Changed[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** An inbox changed through this edge: its streams here and, by the links, everywhere are told. */
  announce(tenant: string, userId: string, head: number): void {
    const changed = [create(ChangedSchema, { tenant, userId, head })];
    this.changed(changed);
    for (const listener of this.#listeners) listener(changed);
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
