// Decides whether a stream may be opened before anything is read for it: a herd is sent away cheaply, each client with a time to come back.
import type { Clock } from '../runtime/clock.ts';
import { CarillonError, type ReasonName } from '../runtime/errors.ts';
import type { Ids } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import { TokenBucket } from './token-bucket.ts';

export interface AdmissionBounds {
  streamsCount: number;
  perUserCount: number;
  perAddressCount: number;
  /** Token buckets: streams that resume from a cursor, and those that begin without. */
  resumesPerSecond: number;
  resumesBurstCount: number;
  beginsPerSecond: number;
  beginsBurstCount: number;
}

export const defaultAdmission: AdmissionBounds = {
  streamsCount: limits.edgeStreamsCount,
  perUserCount: limits.streamsPerUserCount,
  perAddressCount: limits.streamsPerAddressCount,
  resumesPerSecond: limits.streamResumesPerSecond,
  resumesBurstCount: limits.streamResumesBurstCount,
  beginsPerSecond: limits.streamBeginsPerSecond,
  beginsBurstCount: limits.streamBeginsBurstCount,
};

/** The streams of one address. */
export class Place {
  readonly #address: string;
  readonly #places: Map<string, Place>;
  open = 0;

  constructor(address: string, places: Map<string, Place>) {
    this.#address = address;
    this.#places = places;
    places.set(address, this);
  }

  /** One of its streams is over. */
  leave(): void {
    if (--this.open === 0) this.#places.delete(this.#address);
  }
}

export class Admission {
  readonly #bounds: AdmissionBounds;
  readonly #clock: Clock;
  readonly #ids: Ids;
  readonly #resumes: TokenBucket;
  readonly #begins: TokenBucket;
  readonly #badTokens: TokenBucket;
  /** By address, the one that was heard of last at the end. */
  readonly #badTokensOf = new Map<string, TokenBucket>();
  readonly #places = new Map<string, Place>();
  #closed = false;

  constructor(bounds: AdmissionBounds, clock: Clock, ids: Ids) {
    this.#bounds = bounds;
    this.#clock = clock;
    this.#ids = ids;
    this.#resumes = new TokenBucket(bounds.resumesPerSecond, bounds.resumesBurstCount, clock);
    this.#begins = new TokenBucket(bounds.beginsPerSecond, bounds.beginsBurstCount, clock);
    this.#badTokens = new TokenBucket(limits.badTokensPerSecond, limits.badTokensBurstCount, clock);
  }

  /** From now on every stream is refused with SHUTTING_DOWN. */
  close(): void {
    this.#closed = true;
  }

  /**
   * Before the token is looked at: throws SHUTTING_DOWN, TOO_MANY_STREAMS, or TOO_MANY_ATTEMPTS when bad tokens came from
   * this address.
   */
  knock(address: string | undefined, streams: number): void {
    if (this.#closed) throw this.#refusal('SHUTTING_DOWN');
    if (streams >= this.#bounds.streamsCount) throw this.#refusal('TOO_MANY_STREAMS');
    const bad = address === undefined ? undefined : this.#badTokensOf.get(address);
    // Where all together are too many, only those are listened to who have not been heard to lie.
    if (bad && (bad.left < 1 || this.#badTokens.left < 1)) throw this.#refusal('TOO_MANY_ATTEMPTS');
  }

  /** A token from this address was none. */
  badToken(address: string | undefined): void {
    this.#badTokens.take();
    if (address === undefined) return;
    const bad =
      this.#badTokensOf.get(address) ??
      new TokenBucket(limits.badTokensPerAddressPerSecond, limits.badTokensPerAddressBurstCount, this.#clock);
    bad.take();
    this.#badTokensOf.delete(address);
    this.#badTokensOf.set(address, bad);
    for (const oldest of this.#badTokensOf.keys()) {
      if (this.#badTokensOf.size <= limits.badTokenAddressesCount) break;
      this.#badTokensOf.delete(oldest);
    }
  }

  /**
   * Takes a token, and counts the stream for its address until `leave`. Throws TOO_MANY_STREAMS or SHUTTING_DOWN, each with
   * a delay of its own for every client.
   */
  admit(open: {
    streams: number;
    ofUser: number;
    address: string | undefined;
    resumes: boolean;
  }): Place | undefined {
    if (this.#closed) throw this.#refusal('SHUTTING_DOWN');
    if (open.ofUser >= this.#bounds.perUserCount)
      throw this.#refusal('TOO_MANY_STREAMS', 'This user has too many streams open.');
    const known = open.address === undefined ? undefined : this.#places.get(open.address);
    if (known && known.open >= this.#bounds.perAddressCount)
      throw this.#refusal('TOO_MANY_STREAMS', 'Too many streams are open from this address.');
    const bucket = open.resumes ? this.#resumes : this.#begins;
    if (open.streams >= this.#bounds.streamsCount || !bucket.take()) throw this.#refusal('TOO_MANY_STREAMS');
    if (open.address === undefined) return undefined;
    const place = known ?? new Place(open.address, this.#places);
    place.open++;
    return place;
  }

  #refusal(reason: ReasonName, message?: string): CarillonError {
    return new CarillonError(reason, message, { retryAfterMs: delayMs(limits.admissionRetryMs, this.#ids) });
  }
}

/** A delay of its own for every client, in whole milliseconds. */
export function delayMs([leastMs, mostMs]: readonly [number, number], ids: Pick<Ids, 'random'>): number {
  return Math.round(leastMs + ids.random() * (mostMs - leastMs));
}
