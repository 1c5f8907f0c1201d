// What happened, as seen from outside: which keys were accepted, what each device's handler saw and acknowledged, which mails arrived.
import type { Fault } from './windows.ts';

/**
 * `in_app`: to the app alone. `escalating`: to somebody online who has an address too, by mail when the app does not
 * acknowledge. `email`, `fallback`: to somebody who is never online, as mail at once or as what is left.
 */
export type Kind = 'in_app' | 'escalating' | 'email' | 'fallback';

export interface Accepted {
  key: string;
  kind: Kind;
  userId: string;
  notificationId: string;
  /** Wall clock: before the first call, and when the answer to the last one was there. */
  calledMs: number;
  answeredMs: number;
}

export type DeviceKind = 'sdk' | 'sdk, one address' | 'stock';

export interface Device {
  /** Index into `History.devices`. */
  id: number;
  userId: string;
  kind: DeviceKind;
  /** The edges it knows, as indexes into the list that all devices share. */
  edges: readonly number[];
}

export interface Seen {
  device: number;
  notificationId: string;
  seq: number;
  atMs: number;
  /** When the edge had answered its Ack; undefined: it has not. */
  ackedMs: number | undefined;
}

export interface Mail {
  notificationId: string;
  attemptId: string;
  to: string;
}

/** A device hung up by its own will, and was back. */
export interface Absence {
  device: number;
  fromMs: number;
  untilMs: number;
}

/** A device asked an edge for a stream, and got it or was refused. */
export interface Arrival {
  device: number;
  edge: string;
  atMs: number;
  answeredMs: number;
}

export interface Ending {
  what: string;
  code: number | null;
  ms: number;
}

export class History {
  /** Wall clock: what times are told from. */
  readonly startedMs: number;
  readonly accepted: Accepted[] = [];
  readonly devices: Device[] = [];
  readonly seen: Seen[] = [];
  readonly mails: Mail[] = [];
  readonly faults: Fault[] = [];
  readonly absences: Absence[] = [];
  readonly arrivals: Arrival[] = [];
  /** Processes that were asked to leave. */
  readonly leaves: Ending[] = [];
  /** What must never be: processes that ended by themselves, devices that got what no client can explain. */
  readonly surprises: string[] = [];
  /** Calls of Send that were refused, cut off or not answered in time, and repeated. */
  readonly refusals: { atMs: number; why: string }[] = [];
  /** By device and seq, until it is acknowledged. */
  readonly #open = new Map<number, Map<number, Seen>>();
  #acknowledged = 0;

  constructor(startedMs = 0) {
    this.startedMs = startedMs;
  }

  /** What has been, in a line. */
  get progress(): string {
    return `accepted ${this.accepted.length}, seen ${this.seen.length}, acknowledged ${this.#acknowledged}, mails ${this.mails.length}, refusals ${this.refusals.length}`;
  }

  see(device: number, notificationId: string, seq: number, atMs: number): void {
    const seen: Seen = { device, notificationId, seq, atMs, ackedMs: undefined };
    this.seen.push(seen);
    const open = this.#open.get(device) ?? new Map<number, Seen>();
    this.#open.set(device, open.set(seq, seen));
  }

  acknowledge(device: number, seq: number, atMs: number): void {
    const open = this.#open.get(device);
    const seen = open?.get(seq);
    if (!seen) return;
    seen.ackedMs = atMs;
    this.#acknowledged++;
    open?.delete(seq);
  }

  /** Begins a fault; the answer ends it. */
  fault(what: string, nowMs: number): Fault {
    const fault: Fault = { what, beganMs: nowMs, healedMs: undefined };
    this.faults.push(fault);
    return fault;
  }
}
