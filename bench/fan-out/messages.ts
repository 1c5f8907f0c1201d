// What the benchmark's processes say to one another.

export type ServerKind = 'ours' | 'node-net' | 'node-http2' | 'connect-node' | 'socket-io' | 'ws';
export type ClientKind = 'http1' | 'http2' | 'socket-io' | 'ws';

/** What goes to every stream: one message, the same for all; one that no other stream gets; or ten at once, the same for all. */
export type Load = 'same' | 'different' | 'burst';
export const BURST_COUNT = 10;
export const messagesOf = (load: Load): number => (load === 'burst' ? BURST_COUNT : 1);

export type ToServer =
  /** `watch`: look at how long the loop stands still meanwhile. */
  | { do: 'tick'; load: Load; watch: boolean }
  /** Bytes that each message of a server without protobuf of its own must have on the wire. */
  | { do: 'size'; bytes: number }
  | { do: 'usage'; collect: boolean };

export type FromServer =
  | { said: 'listening'; port: number }
  /** `startMs`: by the wall clock. `stallMs`: the longest that the loop stood still; 0 unless it was watched. */
  | { said: 'ticked'; startMs: number; stallMs: number }
  /** CPU since the process began, µs; resident bytes after a collection of garbage, and what of the heap is in use. */
  | { said: 'usage'; cpuUs: number; rssBytes: number; heapBytes: number; streams: number };

export interface OpenStreams {
  kind: ClientKind;
  port: number;
  /** The users are numbered from here on. */
  from: number;
  count: number;
  /** Connections that are being made at once. */
  parallel: number;
  /** Where each stream resumes; undefined: from now on. The first stream of each process checks that the server does so. */
  cursor: string | undefined;
  checkOrder: boolean;
}

export type ToClient =
  | ({ do: 'open' } & OpenStreams)
  /** Says `reached` when so many messages have come in all. */
  | { do: 'expect'; messages: number; times: boolean }
  /** Resets all connections, as a network that goes away. */
  | { do: 'drop' };

export type FromClient =
  /** `ms`: from the first connection to the first message on the last stream. */
  | { said: 'opened'; ms: number }
  /** `bytes`: of all messages, framed, without the response's head. `times`: when messages came, by the wall clock. */
  | { said: 'reached'; bytes: number; times: { atMs: number; messages: number }[] }
  | { said: 'dropped' }
  | { said: 'failed'; why: string };
