// What the harness and the processes that play the clients tell each other: small rows, many at once.
import type { Device } from './history.ts';

/** To a crowd, once. */
export interface Cast {
  devices: readonly Device[];
  /** All edges that devices may know; `Device.edges` are indexes into this. */
  edges: readonly string[];
  seed: number;
}

/** From a crowd, so many times a second. Times are the wall clock's. */
export interface Report {
  /** Device, notification, seq, when its handler was called. */
  seen: [device: number, notificationId: string, seq: number, atMs: number][];
  /** Device, seq, when the edge had answered. */
  acked: [device: number, seq: number, atMs: number][];
  /** Device, and when it had hung up and come back. */
  absences: [device: number, fromMs: number, untilMs: number][];
  /** Where and when a stream was asked for, and when an edge gave it or refused it. */
  arrivals: [device: number, url: string, atMs: number, answeredMs: number][];
  /** Devices that got their first Hello. */
  ready: number[];
  surprises: string[];
}

export const emptyReport = (): Report => ({
  seen: [],
  acked: [],
  absences: [],
  arrivals: [],
  ready: [],
  surprises: [],
});
