// What a session is opened with, and what all sessions of an edge share.
import type { Attention, UserKey } from '../cluster/presence.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Tracing } from '../runtime/tracing.ts';
import type { Place } from './admission.ts';
import type { Cursor } from './cursor.ts';
import type { FrameWriter } from './frames.ts';
import type { Session } from './session.ts';
import type { ClientStream } from './wire/client-stream.ts';

/** What all sessions of an edge share. */
export interface SessionHost {
  /** Begins the id of each session, which names edge and incarnation: `node.incarnation.` */
  readonly idPrefix: string;
  readonly frames: FrameWriter;
  readonly clock: Clock;
  readonly tracing: Tracing;
  /** Items of older partitions were dropped; milliseconds since the epoch. */
  readonly keptSinceMs: number;
  /** Reads the page after the session's position soon, and calls `apply` with it. */
  requestPage(session: Session): void;
  countBytes(bytes: number): void;
}

/** What a client asks for, once it is known who it is. */
export interface Opening {
  user: UserKey;
  /** Empty: a device of its own. */
  deviceId: string;
  attention: Attention;
  /** The client can reach single edges. */
  mayRedirect: boolean;
  cursor: Cursor | undefined;
  /** Of the token, milliseconds since the epoch; 0 when it does not say. */
  issuedMs: number;
  /** Undefined: it does not expire. */
  expiresMs: number | undefined;
  /** What it takes of its address's bound. */
  place: Place | undefined;
}

export interface SessionOptions extends Opening {
  /** The part of the session's id that is its own on this edge. */
  number: number;
  stream: ClientStream;
  host: SessionHost;
  /** See `Session`. */
  openedTurn: number;
  ageTurn: number;
  slot: number;
}
