// A stream lives no longer than its token, and is told in time; without a timer for each, and with one number per stream.
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import type { Session } from './session.ts';

const SECOND_MS = 1_000;

/**
 * The heartbeat's wheel comes by each stream once per round (`limits.heartbeatMs`) and hands it to `watch`: only those
 * with something due before they are seen again are kept here, by the second.
 */
export class TokenExpiry {
  readonly #nowMs: () => number;
  readonly #near = new Map<number, Set<Session>>();

  /** `nowMs`: the clock that tokens are judged by. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** The stream's token is this one from now on. */
  renew(session: Session, issuedMs: number, expiresMs: number | undefined): void {
    session.issuedSeconds = issuedMs / SECOND_MS;
    session.expirySeconds = (expiresMs ?? 0) / SECOND_MS;
    session.noticeSeconds = 0;
    if (expiresMs === undefined) return;
    const lifeMs = Math.max(0, expiresMs - this.#nowMs());
    session.noticeSeconds = Math.floor((expiresMs - Math.min(limits.tokenNoticeMs, lifeMs / 2)) / SECOND_MS);
    this.watch(session);
  }

  /** Keeps the stream in sight when something is due within a round of the wheel. */
  watch(session: Session): void {
    const due = session.noticeSeconds || session.expirySeconds;
    if (due === 0 || due * SECOND_MS > this.#nowMs() + limits.heartbeatMs + SECOND_MS) return;
    const second = Math.ceil(due);
    const known = this.#near.get(second);
    if (known) known.add(session);
    else this.#near.set(second, new Set([session]));
  }

  /** Called with every turn of the wheel. */
  turn(): void {
    const now = this.#nowMs() / SECOND_MS;
    for (const [second, sessions] of this.#near) {
      if (second > now) continue;
      this.#near.delete(second);
      for (const session of sessions) this.#look(session, now);
    }
  }

  #look(session: Session, now: number): void {
    const due = session.noticeSeconds || session.expirySeconds;
    if (session.over || due === 0) return;
    // It has got another token since it was put here.
    if (due > now) this.watch(session);
    else if (session.expirySeconds <= now) session.end(new CarillonError('TOKEN_EXPIRED'));
    else {
      session.noticeExpiry();
      this.watch(session);
    }
  }
}
