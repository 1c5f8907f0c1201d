// What the client's machine can be in, what can happen to it, and what it can ask for: data only.
import type { Deliver, Hello, Update, Watermark } from '../gen/carillon/v1/edge_pb.ts';
import type { Failure } from './failure.ts';

/** What goes along through all states. */
export interface Memory {
  /** At least one; tried in turn. */
  readonly urls: readonly string[];
  readonly urlAt: number;
  /** Where a GoAway sent this client: the next try goes there, once. */
  readonly edge: string | undefined;
  /** The app allows to be sent to single edges. */
  readonly mayRedirect: boolean;
  /** Before this time no edge is asked to send us on; monotonic. */
  readonly stayUntilMs: number;
  /** What is stored was read. */
  readonly loaded: boolean;
  /** Of the last frame that was received; undefined: from now on. */
  readonly cursor: string | undefined;
  /** Position of that frame; 0: not known. All up to it was handed on. */
  readonly seq: number;
  /** Rises with each RESET: positions of two lines have nothing to do with each other. */
  readonly line: number;
  /** Why the cursor was given up, until the next Hello says RESET. */
  readonly cursorLost: string;
  /** Tries in a row that did not come to a stable stream. */
  readonly failures: number;
  /** Tokens in a row that were refused. */
  readonly refusals: number;
  /** Times in a row that an edge named another one. */
  readonly moves: number;
}

interface Kinds {
  /** Not started. */
  idle: object;
  /** A token is being asked for. */
  authorizing: { readonly fresh: boolean };
  /** The first token came: the stored cursor of its user is being read. */
  loading: object;
  /** The call was made; Hello has not come. */
  connecting: { readonly redirected: boolean };
  /** Frames come. */
  open: { readonly sessionId: string; readonly stable: boolean };
  /** A GoAway came: the stream still runs while the time until the next try passes. */
  leaving: { readonly sessionId: string };
  /** No stream; the time until the next try passes. */
  waiting: object;
  /** Trying again is of no use until the app starts it again. */
  failed: { readonly failure: Failure };
  /** The app closed it, for good. */
  closed: object;
}

export type StateKind = keyof Kinds;
export type StateOf<K extends StateKind> = { [S in K]: Memory & { readonly kind: S } & Kinds[S] }[K];
export type State = StateOf<StateKind>;

/** A position on the present line. */
export interface Position {
  readonly cursor: string;
  readonly seq: number;
}

/** What carries a position of the user's sequence. */
type Frame =
  | { readonly case: 'deliver'; readonly value: Deliver }
  | { readonly case: 'update'; readonly value: Update }
  | { readonly case: 'watermark'; readonly value: Watermark };

interface Happenings {
  start: object;
  close: object;
  /** The cursor store answered. */
  loaded: { readonly position: Position | undefined };
  /** There is a token to go with. */
  authorized: object;
  /** There is none: the callback threw, or it is another user's. */
  unauthorized: { readonly failure: Failure };
  hello: { readonly hello: Hello };
  frame: { readonly frame: Frame };
  goAway: { readonly reason: string; readonly afterMs: number | undefined; readonly edge: string };
  /** The stream's token is about to expire. */
  reauthenticate: object;
  /** The stream has been open for `limits.stableMs`. */
  stable: object;
  /** The stream is over, or was never there. */
  ended: { readonly failure: Failure };
  /** The time that was asked for has passed. */
  waited: object;
}

export type EventKind = keyof Happenings;
export type EventOf<K extends EventKind> = { [E in K]: { readonly kind: E } & Happenings[E] }[K];
export type Event = EventOf<EventKind>;

interface Doings {
  /** Reads what is stored; answered by `loaded`. */
  load: object;
  /** Removes the stored cursor. */
  forget: object;
  /** Answered by `authorized` or `unauthorized`. `fresh`: the token at hand was refused. */
  authorize: { readonly fresh: boolean };
  /** Opens the stream; answered by `hello` and so on, and in the end by `ended`. */
  open: { readonly url: string; readonly cursor: string | undefined; readonly mayRedirect: boolean };
  /** Ends the stream, or the search for a token, without `ended`. */
  hangUp: object;
  /** Answered by `waited`. */
  wait: { readonly ms: number };
  stopWaiting: object;
  /** The session is known: acks go to it, activity is said, `stable` is timed. */
  greet: { readonly hello: Hello };
  /** Swaps the token of the open stream. */
  swapToken: object;
  /** A new item for the app. `previous`: the position before it, 0 when not known. */
  item: { readonly deliver: Deliver; readonly previous: number; readonly line: number };
  /** An item of before was marked elsewhere. */
  update: { readonly update: Update; readonly previous: number; readonly line: number };
  /** Nothing to handle lies between `previous` and this position. */
  position: { readonly position: Position; readonly previous: number; readonly line: number };
  counts: { readonly unseen: number; readonly unread: number };
  /** Not everything that was missed follows: the app lists the inbox. */
  resync: { readonly resume: 'partial' | 'reset'; readonly reason: string };
  /** What is handled is acknowledged now. */
  flushAcks: object;
  /** What is owed belongs to the line before; the stored cursor is the present one from now on. */
  newLine: object;
  /** For the app to know; the client goes on by itself, unless it failed. */
  report: { readonly failure: Failure };
}

type EffectKind = keyof Doings;
export type Effect = { [D in EffectKind]: { readonly do: D } & Doings[D] }[EffectKind];

/** The effects that are the app's. */
export type Told =
  | Extract<Effect, { do: 'item' | 'update' | 'position' | 'counts' | 'resync' | 'report' }>
  | { readonly do: 'state'; readonly state: StateKind };

/** Where a client stands: of the line, all up to `seq` was received. */
export interface Place extends Position {
  readonly line: number;
}

export interface Step<K extends StateKind = StateKind> {
  readonly state: StateOf<K>;
  readonly effects: readonly Effect[];
}

/** What a decision may look at besides the state and the event. */
export interface World {
  /** Monotonic. */
  readonly nowMs: number;
  /** In [0, 1). */
  random(): number;
}
