// The user's stream that does not end: runs the machine, and does in the world what it asks for.
import { durationMs } from '@bufbuild/protobuf/wkt';
import { type CallOptions, createClient, type Transport } from '@connectrpc/connect';
import {
  Activity,
  EdgeService,
  type ListInboxResponse,
  type MarkInboxResponse,
  type SubscribeResponse,
} from '../gen/carillon/v1/edge_pb.ts';
import { Acks, type HandledItem } from './acks.ts';
import { ActivityTeller } from './activity-teller.ts';
import { Calls } from './calls.ts';
import { type Clock, sleep } from './clock.ts';
import { Connection, type EdgeClient } from './connection.ts';
import { type CursorStore, keyOf } from './cursors.ts';
import { type Failure, failureIn } from './failure.ts';
import { Keeper } from './keeper.ts';
import { limits } from './limits.ts';
import type { Effect, Event, Place, Position, State, StateKind, Told } from './machine.states.ts';
import { initial, step } from './machine.ts';
import type { Run } from './runs.ts';
import type { ListInboxInit, MarkInboxInit, Source } from './source.ts';
import type { Tokens } from './tokens.ts';

export interface StreamOptions {
  readonly urls: readonly string[];
  readonly mayRedirect: boolean;
  readonly deviceId: string;
  /** Of the cursor's key; empty: as the tokens say. */
  readonly user: string;
  readonly tokens: Tokens;
  readonly cursors: CursorStore;
  readonly transport: (url: string) => Transport;
  readonly clock: Clock;
  readonly random: () => number;
  /** Where to go on from, when it is known better than the store knows it, and what to acknowledge besides. */
  readonly from?: { readonly place: Place; readonly owed: readonly Run[] } | undefined;
  /** The answer is a promise when the app has enough for now: nothing more is read until it resolves. */
  tell(told: Told): Promise<void> | undefined;
  onAcked?(runs: readonly Run[], line: number): void;
}

export class Stream implements Source {
  readonly #calls: Calls;
  readonly #options: StreamOptions;
  readonly #acks: Acks;
  readonly #activity: ActivityTeller;
  readonly #keeper: Keeper;
  readonly #ended = new AbortController();
  #state: State;
  #connection: Connection | undefined;
  /** Of the stream that is open or was last. */
  #url: string;
  #client: EdgeClient | undefined;
  #token = '';
  #sessionId = '';
  #openedWith: Activity = Activity.UNSPECIFIED;
  /** Rises when what was asked for is of no interest any more. */
  #attempt = 0;
  #cancelWait: () => void = () => {};
  #cancelStable: () => void = () => {};
  #swapping = false;
  #onSessionOver: () => void = () => {};
  readonly #events: Event[] = [];
  /** What the app's room waits for, of the frame that is being stepped over. */
  #room: Promise<void> | undefined;
  #stepping = false;

  constructor(options: StreamOptions) {
    this.#options = options;
    const { urls, mayRedirect, clock, random, cursors, tokens, from } = options;
    this.#state = initial(urls, mayRedirect, from?.place);
    this.#url = urls[0] ?? '';
    this.#calls = new Calls(tokens, () => this.#clientOf());
    this.#acks = new Acks({
      clock,
      random,
      send: (call) => this.#calls.call((client, opts) => client.ack(call, opts)),
      onAcked: (runs) => options.onAcked?.(runs, this.#state.line),
      onLost: (failure) => this.#report(failure),
    });
    this.#activity = new ActivityTeller({
      send: (sessionId, activity) =>
        this.#ofSession(sessionId, (client, opts) => client.setActivity({ sessionId, activity }, opts)),
      onError: (failure) => this.#report(failure),
    });
    this.#keeper = new Keeper(cursors, (error) =>
      this.#report({ remedy: 'none', reason: 'CURSOR_STORE', message: String(error) }),
    );
    if (from) this.#acks.restore(from.owed);
  }

  get state(): StateKind {
    return this.#state.kind;
  }

  /** Undefined until the first Hello. */
  get place(): Place | undefined {
    const { cursor, seq, line } = this.#state;
    return cursor === undefined ? undefined : { cursor, seq, line };
  }

  start(): void {
    this.#on({ kind: 'start' });
  }

  /** `hidden`: this page is in the background, where timers run once a minute, whatever is said of the user. */
  setActivity(activity: Activity, hidden = activity === Activity.BACKGROUND): void {
    this.#acks.hurried = hidden;
    this.#activity.set(activity);
  }

  listInbox(request: ListInboxInit): Promise<ListInboxResponse> {
    return this.#calls.call((edge, options) => edge.listInbox(request, options));
  }

  mark(request: MarkInboxInit): Promise<MarkInboxResponse> {
    return this.#calls.call((edge, options) => edge.markInbox(request, options));
  }

  #report(failure: Failure): void {
    void this.#options.tell({ do: 'report', failure });
  }

  /** The app has all up to this position; what failed in its hands is not acknowledged. */
  handled(position: Position, line: number, item: HandledItem | undefined): void {
    if (line !== this.#state.line) return;
    if (item) this.#acks.add(item);
    this.#keeper.save({ ...position, owed: this.#acks.owed });
  }

  /** Sends what is owed while the session takes it, at most for `limits.closeMs`, stores the cursor, and ends for good. */
  async close(): Promise<void> {
    const late = sleep(this.#options.clock, limits.closeMs, this.#ended.signal);
    const over = new Promise<void>((resolve) => {
      this.#onSessionOver = resolve;
    });
    if (this.#sessionId !== '') await Promise.race([this.#acks.flush(), late, over]);
    this.#on({ kind: 'close' });
    this.#ended.abort();
    this.#acks.close();
    this.#calls.close();
    await this.#keeper.idle();
  }

  #clientOf(): EdgeClient {
    this.#client ??= createClient(EdgeService, this.#options.transport(this.#url));
    return this.#client;
  }

  /** Steps over an event, and over those that its effects bring about, in order. */
  #on(event: Event): void {
    this.#events.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    try {
      for (let next = this.#events.shift(); next; next = this.#events.shift()) this.#step(next);
    } finally {
      this.#stepping = false;
    }
  }

  #step(event: Event): void {
    const { clock, random } = this.#options;
    const before = this.#state.kind;
    const { state, effects } = step(this.#state, event, { nowMs: clock.monotonic(), random });
    this.#state = state;
    if (state.kind !== 'open' && state.kind !== 'leaving' && this.#sessionId !== '') this.#sessionOver();
    for (const effect of effects) this.#do(effect);
    if (state.kind !== before) void this.#options.tell({ do: 'state', state: state.kind });
  }

  #sessionOver(): void {
    this.#sessionId = '';
    this.#acks.session('');
    this.#activity.session('', this.#openedWith);
    this.#cancelStable();
    this.#onSessionOver();
  }

  #do(effect: Effect): void {
    const { clock, tell } = this.#options;
    switch (effect.do) {
      case 'load':
        void this.#load();
        return;
      case 'forget':
        this.#keeper.forget();
        return;
      case 'authorize':
        void this.#authorize(effect.fresh);
        return;
      case 'open':
        this.#open(effect);
        return;
      case 'hangUp':
        this.#attempt++;
        this.#connection?.close();
        this.#connection = undefined;
        return;
      case 'wait':
        this.#cancelWait = clock.after(effect.ms, () => this.#on({ kind: 'waited' }));
        return;
      case 'stopWaiting':
        this.#cancelWait();
        return;
      case 'greet':
        this.#greet(effect.hello.sessionId);
        return;
      case 'swapToken':
        void this.#swapToken();
        return;
      case 'item':
      case 'update':
      case 'position':
      case 'counts':
      case 'resync':
      case 'report':
        this.#room = tell(effect) ?? this.#room;
        return;
      case 'flushAcks':
        void this.#acks.flush();
        return;
      case 'newLine':
        this.#newLine();
        return;
      default:
        effect satisfies never;
    }
  }

  #newLine(): void {
    this.#acks.drop();
    const { place } = this;
    if (place) this.#keeper.save({ cursor: place.cursor, seq: place.seq, owed: [] });
  }

  async #load(): Promise<void> {
    const { user, tokens, deviceId } = this.#options;
    const kept = await this.#keeper.load(keyOf(user || tokens.user, deviceId));
    if (kept) this.#acks.restore(kept.owed);
    this.#on({ kind: 'loaded', position: kept && { cursor: kept.cursor, seq: kept.seq } });
  }

  async #authorize(fresh: boolean): Promise<void> {
    const attempt = ++this.#attempt;
    try {
      this.#token = await this.#options.tokens.get(fresh ? this.#token : undefined);
      if (attempt === this.#attempt) this.#on({ kind: 'authorized' });
    } catch (error) {
      if (attempt === this.#attempt) this.#on({ kind: 'unauthorized', failure: failureIn(error) });
    }
  }

  #open({ url, cursor, mayRedirect }: Extract<Effect, { do: 'open' }>): void {
    if (url !== this.#url) {
      this.#url = url;
      this.#client = undefined;
    }
    const { clock, deviceId } = this.#options;
    const activity = this.#activity.now;
    this.#openedWith = activity;
    this.#connection = new Connection({
      client: this.#clientOf(),
      request: { ...(cursor !== undefined && { cursor }), deviceId, activity, mayRedirect },
      token: this.#token,
      clock,
      onFrame: (frame) => this.#onFrame(frame),
      onEnded: (failure) => {
        this.#connection = undefined;
        this.#on({ kind: 'ended', failure });
      },
    });
  }

  #onFrame(frame: SubscribeResponse['frame']): Promise<void> | undefined {
    this.#room = undefined;
    switch (frame.case) {
      case 'hello':
        this.#on({ kind: 'hello', hello: frame.value });
        break;
      case 'deliver':
      case 'update':
      case 'watermark':
        this.#on({ kind: 'frame', frame });
        break;
      case 'goAway': {
        const { reason, reconnectAfter, edge } = frame.value;
        this.#on({ kind: 'goAway', reason, afterMs: reconnectAfter && durationMs(reconnectAfter), edge });
        break;
      }
      case 'reauthenticate':
        this.#on({ kind: 'reauthenticate' });
        break;
      default:
        // A kind of frame that this client does not know yet.
        break;
    }
    return this.#room;
  }

  #greet(sessionId: string): void {
    this.#sessionId = sessionId;
    this.#acks.session(sessionId);
    this.#activity.session(sessionId, this.#openedWith);
    this.#cancelStable = this.#options.clock.after(limits.stableMs, () => this.#on({ kind: 'stable' }));
  }

  /** A call about the session. When its edge does not know it the stream is dead, whatever the socket says. */
  async #ofSession<T>(
    sessionId: string,
    make: (client: EdgeClient, options: CallOptions) => Promise<T>,
    fresh = false,
  ): Promise<T> {
    try {
      return await this.#calls.call(make, { fresh });
    } catch (error) {
      const failure = failureIn(error);
      if (failure.reason === 'SESSION_UNKNOWN' && sessionId === this.#sessionId) {
        this.#connection?.close();
        this.#connection = undefined;
        this.#on({ kind: 'ended', failure });
      }
      throw error;
    }
  }

  /** The stream's token is about to expire. If no new one is taken in time the stream ends, and begins anew. */
  async #swapToken(): Promise<void> {
    if (this.#swapping) return;
    this.#swapping = true;
    const { clock, random } = this.#options;
    const sessionId = this.#sessionId;
    try {
      for (let tries = 1; tries <= limits.swapTriesCount; tries++) {
        if (this.#sessionId !== sessionId) return;
        try {
          await this.#calls.call((client, opts) => client.reauthenticate({ sessionId }, opts), {
            fresh: true,
          });
          return;
        } catch (error) {
          const failure = failureIn(error);
          this.#report(failure);
          if (failure.remedy === 'none') return;
          const ceiling = Math.min(limits.reconnectMaxMs, limits.reconnectBaseMs * 2 ** tries);
          await sleep(clock, Math.max(random() * ceiling, failure.retryAfterMs ?? 0), this.#ended.signal);
        }
      }
    } finally {
      this.#swapping = false;
    }
  }
}
