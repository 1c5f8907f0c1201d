// One stream per browser: the tab that holds the name leads and has it, the others take over what it relays; who dies is replaced.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import {
  Activity,
  EdgeService,
  type ListInboxResponse,
  MarkInboxRequestSchema,
  type MarkInboxResponse,
  MarkInboxResponseSchema,
} from '../gen/carillon/v1/edge_pb.ts';
import { type HandledItem, runOf } from './acks.ts';
import { Calls } from './calls.ts';
import { sleep } from './clock.ts';
import { keyOf } from './cursors.ts';
import { failureIn } from './failure.ts';
import { limits } from './limits.ts';
import type { Position, StateKind, Told } from './machine.states.ts';
import type { ListInboxInit, MarkInboxInit, Source } from './source.ts';
import { Stream, type StreamOptions } from './stream.ts';
import { Asks } from './tab-asks.ts';
import { Follower } from './tab-follower.ts';
import { relayed, type TabMessage } from './tab-messages.ts';
import type { Channel, Tabs } from './tabs.ts';

/** What the leader knows of another tab. */
interface Other {
  activity: Activity;
  /** Ends the watch over its death. */
  readonly watch: AbortController;
}

export class TabStream implements Source {
  readonly #tabs: Tabs;
  readonly #options: StreamOptions;
  readonly #calls: Calls;
  readonly #follower: Follower;
  readonly #asks: Asks;
  readonly #ended = new AbortController();
  readonly #others = new Map<string, Other>();
  #name = '';
  #channel: Channel | undefined;
  /** This tab leads. */
  #stream: Stream | undefined;
  #state: StateKind = 'idle';
  #counts: { unseen: number; unread: number } | undefined;
  #activity: Activity = Activity.UNSPECIFIED;

  constructor(tabs: Tabs, options: StreamOptions) {
    this.#tabs = tabs;
    this.#options = options;
    const edge = () => createClient(EdgeService, options.transport(options.urls[0] ?? ''));
    this.#calls = new Calls(options.tokens, edge);
    this.#follower = new Follower({
      tell: (told) => this.#tell(told),
      onMissed: ({ line, seq }) => this.#post({ say: 'missed', tab: tabs.id, line, seq }),
    });
    this.#asks = new Asks({
      clock: options.clock,
      post: (id, request) => this.#post({ say: 'mark', tab: tabs.id, id, request }),
    });
  }

  get state(): StateKind {
    return this.#state;
  }

  start(): void {
    if (this.#ended.signal.aborted) return;
    if (this.#state === 'idle') void this.#join();
    else if (this.#stream) this.#stream.start();
    else this.#post({ say: 'start' });
  }

  async close(): Promise<void> {
    this.#ended.abort();
    await this.#stream?.close();
    this.#calls.close();
    this.#asks.close();
    for (const { watch } of this.#others.values()) watch.abort();
    this.#channel?.close();
    this.#setState('closed');
  }

  setActivity(activity: Activity): void {
    this.#activity = activity;
    this.#sayActivity();
  }

  handled(position: Position, line: number, item: HandledItem | undefined): void {
    if (this.#stream) this.#stream.handled(position, line, item);
    else if (item) this.#follower.handled(runOf(item), line);
  }

  listInbox(request: ListInboxInit): Promise<ListInboxResponse> {
    return this.#calls.call((edge, options) => edge.listInbox(request, options));
  }

  async mark(request: MarkInboxInit): Promise<MarkInboxResponse> {
    if (this.#stream) return this.#stream.mark(request);
    const bytes = toBinary(MarkInboxRequestSchema, create(MarkInboxRequestSchema, request));
    return fromBinary(MarkInboxResponseSchema, await this.#asks.ask(bytes));
  }

  /** Whose tabs these are stands in the token, unless the app said it. */
  async #join(): Promise<void> {
    this.#setState('authorizing');
    const { tokens, deviceId, clock, random } = this.#options;
    const { signal } = this.#ended;
    for (let failures = 0; this.#options.user === '' && tokens.user === ''; failures++) {
      try {
        await tokens.get();
        break;
      } catch (error) {
        void this.#tell({ do: 'report', failure: failureIn(error) });
        const ceiling = Math.min(limits.reconnectMaxMs, limits.reconnectBaseMs * 2 ** failures);
        await sleep(clock, random() * ceiling, signal);
      }
      if (signal.aborted) return;
    }
    if (signal.aborted) return;
    this.#name = keyOf(this.#options.user || tokens.user, deviceId).replace('cursor', 'tabs:1');
    this.#channel = this.#tabs.channel(this.#name, (message) => this.#hear(message as TabMessage));
    // Held as long as this tab lives, so that the leader learns of its death.
    this.#tabs.hold(`${this.#name}:${this.#tabs.id}`, signal, () => {});
    this.#tabs.hold(this.#name, signal, () => this.#lead());
    this.#post({ say: 'here', tab: this.#tabs.id, activity: this.#activity });
  }

  #lead(): void {
    const { place, owed } = this.#follower;
    const known = place && place.cursor !== '';
    this.#stream = new Stream({
      ...this.#options,
      from: known ? { place, owed } : undefined,
      tell: (told) => this.#relay(told),
      onAcked: (runs, line) => this.#post({ say: 'acked', runs, line }),
    });
    this.#sayActivity();
    this.#stream.start();
    this.#announce();
    this.#asks.leadHere((request) => this.#markFor(request));
  }

  /** To all, who answer that they are here, or to one; they ask for what they miss. */
  #announce(to = ''): void {
    const { place, state } = this.#stream ?? { place: undefined, state: this.#state };
    this.#post({ say: 'lead', to, state, place, counts: this.#counts });
  }

  #relay(told: Told): Promise<void> | undefined {
    if (told.do === 'state') this.#post({ say: 'state', state: told.state });
    else {
      const packed = relayed(told);
      if (packed.do === 'item' || packed.do === 'update') this.#follower.window.add(packed);
      this.#post({ say: 'relay', told: packed });
    }
    return this.#tell(told);
  }

  #tell(told: Told): Promise<void> | undefined {
    if (told.do === 'state') {
      this.#setState(told.state);
      return undefined;
    }
    if (told.do === 'counts') this.#counts = { unseen: told.unseen, unread: told.unread };
    return this.#options.tell(told);
  }

  #setState(state: StateKind): void {
    if (state === this.#state || this.#state === 'closed') return;
    this.#state = state;
    void this.#options.tell({ do: 'state', state });
  }

  #post(message: TabMessage): void {
    this.#channel?.post(message);
  }

  #hear(message: TabMessage): void {
    if (this.#ended.signal.aborted) return;
    if (this.#stream) this.#hearAsLeader(this.#stream, message);
    else this.#hearAsFollower(message);
  }

  #hearAsLeader(stream: Stream, message: TabMessage): void {
    switch (message.say) {
      case 'here':
        if (!this.#others.has(message.tab)) this.#welcome(message.tab);
        this.#others.get(message.tab)!.activity = message.activity;
        this.#sayActivity();
        return;
      case 'missed': {
        const { tab: to, line, seq } = message;
        const missed = this.#follower.window.after(line, seq) ?? stream.place ?? [];
        this.#post({ say: 'recent', to, missed });
        return;
      }
      case 'mark': {
        const { tab: to, id, request } = message;
        void this.#markFor(request)
          .catch(failureIn)
          .then((answer) => this.#post({ say: 'marked', to, id, answer }));
        return;
      }
      case 'start':
        stream.start();
        return;
      default:
        // Said by a leader of before.
        return;
    }
  }

  #hearAsFollower(message: TabMessage): void {
    switch (message.say) {
      case 'lead':
        if (message.to !== '' && message.to !== this.#tabs.id) return;
        if (message.to === '') this.#sayActivity();
        this.#setState(message.state);
        if (message.counts) void this.#tell({ do: 'counts', ...message.counts });
        this.#follower.led(message.place);
        this.#asks.again();
        return;
      case 'state':
        this.#setState(message.state);
        return;
      case 'relay':
        this.#follower.take(message.told);
        return;
      case 'acked':
        this.#follower.acked(message.runs, message.line);
        return;
      case 'recent':
        if (message.to === this.#tabs.id) this.#follower.caughtUp(message.missed);
        return;
      case 'marked':
        if (message.to === this.#tabs.id) this.#asks.answered(message.id, message.answer);
        return;
      default:
        // For the leader.
        return;
    }
  }

  /** A tab that was not known: it learns where this one stands, and its death will be noticed. */
  #welcome(tab: string): void {
    const watch = new AbortController();
    this.#others.set(tab, { activity: Activity.UNSPECIFIED, watch });
    this.#tabs.hold(`${this.#name}:${tab}`, watch.signal, () => {
      watch.abort();
      this.#others.delete(tab);
      this.#sayActivity();
    });
    this.#announce(tab);
  }

  /** The leader speaks for all: the user looks at the app when it looks at one of its tabs. */
  #sayActivity(): void {
    if (!this.#stream) {
      this.#post({ say: 'here', tab: this.#tabs.id, activity: this.#activity });
      return;
    }
    const all = [this.#activity, ...[...this.#others.values()].map(({ activity }) => activity)];
    const best = [Activity.FOREGROUND, Activity.BACKGROUND].find((one) => all.includes(one));
    this.#stream.setActivity(best ?? Activity.UNSPECIFIED, this.#activity === Activity.BACKGROUND);
  }

  async #markFor(bytes: Uint8Array): Promise<Uint8Array> {
    const answer = await this.#stream!.mark(fromBinary(MarkInboxRequestSchema, bytes));
    return toBinary(MarkInboxResponseSchema, answer);
  }
}
