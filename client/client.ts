// The client of Carillon, for browsers, Node and React Native: a user's items, each once and in order, whatever the network does.
import type { Transport } from '@connectrpc/connect';
import type { Activity, ListInboxResponse, MarkInboxResponse, Update } from '../gen/carillon/v1/edge_pb.ts';
import { Lane } from '../gen/carillon/v1/notification_pb.ts';
import { type ActivitySource, pageActivity } from './activity.ts';
import { type Clock, systemClock, systemRandom } from './clock.ts';
import { memoryCursors } from './cursors.memory.ts';
import type { CursorStore } from './cursors.ts';
import { ClientError } from './failure.ts';
import { type Entry, Feed, type ItemListener, type ReceivedItem } from './feed.ts';
import type { StateKind, Told } from './machine.states.ts';
import type { ListInboxInit, MarkInboxInit, Source } from './source.ts';
import { Stream, type StreamOptions } from './stream.ts';
import { TabStream } from './tab-stream.ts';
import { browserTabs } from './tabs.browser.ts';
import type { Tabs } from './tabs.ts';
import { type TokenSource, Tokens } from './tokens.ts';
import { fetchTransport } from './transport.ts';

export { Activity, Mark } from '../gen/carillon/v1/edge_pb.ts';
export { Lane } from '../gen/carillon/v1/notification_pb.ts';
export { type ActivitySource, type AppStateLike, appStateActivity, pageActivity } from './activity.ts';
export type { Clock } from './clock.ts';
export { indexedDbCursors } from './cursors.indexed-db.ts';
export { localStorageCursors } from './cursors.local-storage.ts';
export { memoryCursors } from './cursors.memory.ts';
export type { CursorStore } from './cursors.ts';
export { ClientError } from './failure.ts';
export type { ItemListener, ReceivedItem } from './feed.ts';
export { browserTabs } from './tabs.browser.ts';
export type { Tabs } from './tabs.ts';
export type { TokenSource } from './tokens.ts';
export { fetchTransport } from './transport.ts';

export interface ClientOptions {
  /** Where an edge is reached, or several addresses that are tried in turn. */
  readonly url: string | readonly string[];
  readonly token: TokenSource;
  /** Names this device among the user's, so that it can be told apart in presence and revoked by itself. */
  readonly deviceId?: string;
  /** Whose cursors these are, where several users share a store. Default: what the token says, its tenant and `sub`. */
  readonly user?: string;
  /** Default: they live as long as this client. In browsers give `localStorageCursors()` or `indexedDbCursors()`. */
  readonly cursors?: CursorStore;
  /** Default: the page's visibility where there is a page, else nothing is said. */
  readonly activity?: ActivitySource;
  /** This client can reach single edges by their own address. Default: true. */
  readonly mayRedirect?: boolean;
  /**
   * One tab holds the stream for all tabs of the origin that have the same user and device; they must be the same app. An
   * item is acknowledged when that tab has handled it. Default: true where the browser can do it, else each has its own.
   */
  readonly oneStreamPerBrowser?: boolean;
  /** How tabs find one another. Default: Web Locks and BroadcastChannel. */
  readonly tabs?: Tabs;
  /** Any transport of Connect, for one address. Default: Connect over `fetch`. */
  readonly transport?: (url: string) => Transport;
  readonly clock?: Clock;
  /** In [0, 1). */
  readonly random?: () => number;
}

export interface Counts {
  readonly unseen: number;
  readonly unread: number;
}

/** Not everything since the last item follows: `listInbox` shows what there is. */
export interface Resync {
  /** `partial`: the rest of what was missed follows. `reset`: what follows is new. */
  readonly resume: 'partial' | 'reset';
  /** Such as NO_CURSOR at the first start, RETENTION, OTHER_EPOCH, CURSOR_AHEAD. */
  readonly reason: string;
}

export type ClientState = StateKind;

interface Listeners {
  /** Items wait until somebody listens; they are acknowledged when all listeners are done with them. */
  item: ItemListener;
  /** An item that was delivered before was seen, read or archived. */
  update: (update: Update) => void;
  counts: (counts: Counts) => void;
  state: (state: ClientState) => void;
  resync: (resync: Resync) => void;
  /** For the log: the client goes on by itself, unless its state is `failed`. */
  error: (error: ClientError) => void;
}

type Heard = { [E in Exclude<keyof Listeners, 'item'>]: Parameters<Listeners[E]>[0] };

export class CarillonClient {
  readonly #listeners: { [E in keyof Heard]: Set<(value: Heard[E]) => void> } = {
    update: new Set(),
    counts: new Set(),
    state: new Set(),
    resync: new Set(),
    error: new Set(),
  };
  readonly #feed: Feed;
  readonly #tokens: Tokens;
  readonly #source: Source;
  readonly #activity: ActivitySource;
  #unlisten: (() => void) | undefined;
  #counts: Counts | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ClientOptions) {
    const urls = typeof options.url === 'string' ? [options.url] : [...options.url];
    if (urls.length === 0) throw new TypeError('A client needs at least one url.');
    const clock = options.clock ?? systemClock;
    this.#activity = options.activity ?? pageActivity();
    this.#tokens = new Tokens(options.token, clock);
    this.#feed = new Feed({
      onUpdate: (update) => this.#emit('update', update),
      onHandled: (entry, ok) => this.#handled(entry, ok),
      onError: (error) => this.#fault(error, 'A listener failed; the item is not acknowledged.'),
    });
    const stream: StreamOptions = {
      urls,
      mayRedirect: options.mayRedirect ?? true,
      deviceId: options.deviceId ?? '',
      user: options.user ?? '',
      tokens: this.#tokens,
      cursors: options.cursors ?? memoryCursors(),
      transport: options.transport ?? fetchTransport,
      clock,
      random: options.random ?? systemRandom,
      tell: (told) => this.#told(told),
    };
    const tabs = (options.oneStreamPerBrowser ?? true) ? (options.tabs ?? browserTabs()) : undefined;
    this.#source = tabs ? new TabStream(tabs, stream) : new Stream(stream);
  }

  get state(): ClientState {
    return this.#source.state;
  }

  /** Connects, and stays connected until `close`. After `failed` it tries again; otherwise a second call does nothing. */
  start(): void {
    if (this.#closing) return;
    if (!this.#unlisten) {
      this.setActivity(this.#activity.current());
      this.#unlisten = this.#activity.listen(() => this.setActivity(this.#activity.current()));
    }
    this.#source.start();
  }

  /** Acknowledges what was handled, within 3 seconds, and ends for good. Iterators end. Any number of times. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#unlisten?.();
    this.#feed.close();
    await this.#source.close();
    this.#tokens.close();
  }

  /**
   * Items one after the other. An item is acknowledged when the next one is asked for, or the loop is left. While
   * nothing is asked for, a bounded number waits and the rest stays with the mesh.
   */
  items(): AsyncIterableIterator<ReceivedItem> {
    return this.#feed.reader();
  }

  /** Calls `listener` for each event from now on. The answer ends it. */
  on<E extends keyof Listeners>(event: E, listener: Listeners[E]): () => void {
    if (event === 'item') return this.#feed.listen(listener as ItemListener);
    const listeners = this.#listeners[event as keyof Heard] as Set<unknown>;
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** A page of the inbox, newest first. Throws ClientError. */
  listInbox(request: ListInboxInit = {}): Promise<ListInboxResponse> {
    return this.#source.listInbox(request);
  }

  /** Marks items as seen, read or archived, by their notification ids or up to a seq. Throws ClientError. */
  mark(request: MarkInboxInit): Promise<MarkInboxResponse> {
    return this.#source.mark(request);
  }

  /** Says whether the user looks at the app, until the activity source says otherwise. */
  setActivity(activity: Activity): void {
    this.#source.setActivity(activity);
  }

  #told(told: Told): Promise<void> | undefined {
    switch (told.do) {
      case 'item': {
        const { deliver, previous, line } = told;
        // An edge never sends a frame without its item.
        if (!deliver.item) return undefined;
        return this.#feed.push({ kind: 'item', item: { ...deliver, item: deliver.item }, previous, line });
      }
      case 'update':
        return this.#feed.push({ kind: 'update', update: told.update, line: told.line });
      case 'position':
        return this.#feed.push({ kind: 'position', position: told.position, line: told.line });
      case 'counts':
        this.#count({ unseen: told.unseen, unread: told.unread });
        return undefined;
      case 'resync':
        this.#emit('resync', { resume: told.resume, reason: told.reason });
        return undefined;
      case 'state':
        this.#emit('state', told.state);
        return undefined;
      default:
        this.#emit('error', new ClientError(told.failure));
        return undefined;
    }
  }

  #handled(entry: Entry, ok: boolean): void {
    if (entry.kind !== 'item') {
      const position = entry.kind === 'position' ? entry.position : entry.update;
      this.#source.handled(position, entry.line, undefined);
      return;
    }
    const { seq, cursor, item, traceparent } = entry.item;
    const acked = { seq, previous: entry.previous, critical: item.lane === Lane.CRITICAL, traceparent };
    this.#source.handled({ seq, cursor }, entry.line, ok ? acked : undefined);
  }

  #count(counts: Counts): void {
    if (this.#counts?.unseen === counts.unseen && this.#counts.unread === counts.unread) return;
    this.#counts = counts;
    this.#emit('counts', counts);
  }

  #emit<E extends keyof Heard>(event: E, value: Heard[E]): void {
    for (const listener of [...this.#listeners[event]]) {
      try {
        listener(value);
      } catch (error) {
        // A listener of errors that throws has nobody to tell.
        if (event !== 'error') this.#fault(error, `A listener of ${event} failed.`);
      }
    }
  }

  #fault(error: unknown, message: string): void {
    const failure = { remedy: 'none', reason: 'LISTENER', message } as const;
    this.#emit('error', new ClientError(failure, { cause: error }));
  }
}
