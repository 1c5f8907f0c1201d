// What happened, as seen from outside: which keys were accepted, what each client's handler saw, which mails arrived.

export type Kind = 'in_app' | 'email' | 'fallback';

export interface Accepted {
  key: string;
  kind: Kind;
  userId: string;
  notificationId: string;
}

export interface Seen {
  userId: string;
  notificationId: string;
  seq: number;
  atMs: number;
}

export interface Mail {
  notificationId: string;
  attemptId: string;
  to: string;
}

export class History {
  readonly accepted: Accepted[] = [];
  readonly seen: Seen[] = [];
  readonly mails: Mail[] = [];
  readonly faults: string[] = [];
  /** Accept time per notification id, for latencies outside fault windows. */
  readonly acceptedAtMs = new Map<string, number>();
  refusals = 0;

  fault(text: string): void {
    this.faults.push(text);
  }
}
