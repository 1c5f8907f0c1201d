// What the benchmark's processes say to one another.

export type ServerKind = 'ours' | 'node-net' | 'node-http2' | 'connect-node' | 'socket-io' | 'ws';
export type ClientKind = 'http1' | 'http2' | 'socket-io' | 'ws';

export type ToServer =
  /** Sends one message to every stream. */
  | { do: 'tick' }
  /** Bytes that each message of a server without protobuf of its own must have on the wire. */
  | { do: 'size'; bytes: number }
  | { do: 'usage'; collect: boolean };

export type FromServer =
  | { said: 'listening'; port: number }
  | { said: 'ticked' }
  /** CPU since the process began, µs; resident bytes after a collection of garbage. */
  | { said: 'usage'; cpuUs: number; rssBytes: number; streams: number };

export type ToClient =
  | { do: 'open'; kind: ClientKind; port: number; from: number; count: number; checkOrder: boolean }
  /** Says `reached` when so many messages have come in all. */
  | { do: 'expect'; messages: number };

export type FromClient =
  | { said: 'opened' }
  /** `bytes`: of all messages, framed, without the response's head. */
  | { said: 'reached'; bytes: number }
  | { said: 'failed'; why: string };
