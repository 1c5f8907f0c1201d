// How the tabs of a browser find one another: one of them holds a name, all hear what is posted. A port; browsers have both.

export interface Channel {
  /** To all others of the name, in the order in which it was posted. `message` is cloned. */
  post(message: unknown): void;
  close(): void;
}

export interface Tabs {
  /** Names this tab among all of the origin. */
  readonly id: string;
  /** Hears others' posts until it is closed. */
  channel(name: string, onMessage: (message: unknown) => void): Channel;
  /** Calls `held` when nobody else holds the name; it is this tab's until `signal` aborts, or the tab is gone. */
  hold(name: string, signal: AbortSignal, held: () => void): void;
}
