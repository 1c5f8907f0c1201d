// A tab that holds no stream: takes over what the leader relays, each position once, and asks for what it missed.
import { limits } from './limits.ts';
import type { Place, Told } from './machine.states.ts';
import { RecentWindow } from './recent-window.ts';
import { joined, type Run, without } from './runs.ts';
import { type Carried, type Relayed, unpacked } from './tab-messages.ts';

export interface FollowerOptions {
  /** The promise: the app has enough for now. */
  tell(told: Told): Promise<void> | undefined;
  /** Asks the leader for what came after this place. */
  onMissed(place: Place): void;
}

/** What a tab knows of the sequence while another one leads; what the next leader begins with. */
export class Follower {
  readonly window = new RecentWindow();
  readonly #options: FollowerOptions;
  #place: Place | undefined;
  /** The app has enough, or a part is missing: what is relayed is not taken, and asked for afterwards. */
  #away = false;
  #full = false;
  /** Handled here, and not known to be acknowledged. */
  #owed: readonly Run[] = [];

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  get place(): Place | undefined {
    return this.#place;
  }

  get owed(): readonly Run[] {
    return this.#owed;
  }

  /** A leader says where it stands. */
  led(place: Place | undefined): void {
    if (!place) return;
    if (!this.#place) this.#place = place;
    this.#away = this.#full;
    if (place.line > this.#place.line || (place.line === this.#place.line && place.seq > this.#place.seq))
      this.#miss();
  }

  take(relayed: Relayed): void {
    if (relayed.do !== 'item' && relayed.do !== 'update' && relayed.do !== 'position') {
      void this.#options.tell(relayed);
      return;
    }
    // Whoever hears a frame before a leader has said where it stands begins right there.
    this.#place ??= { cursor: '', seq: relayed.previous, line: relayed.line };
    if (this.#away || relayed.line < this.#place.line) return;
    if (relayed.line > this.#place.line) this.#newLine(relayed.line);
    if (relayed.previous > this.#place.seq) this.#miss();
    else if (relayed.do === 'position') this.#move(relayed);
    else this.#carry(relayed);
  }

  /** The leader's answer to `onMissed`. */
  caughtUp(missed: readonly Carried[] | Place): void {
    if (!this.#away || this.#full || !this.#place) return;
    this.#away = false;
    if (!('cursor' in missed)) {
      for (const one of missed) this.take(one);
      return;
    }
    this.#newLine(missed.line);
    this.#place = missed;
    void this.#options.tell({ do: 'resync', resume: 'partial', reason: 'TAB_BEHIND' });
  }

  handled(run: Run, line: number): void {
    if (line !== this.#place?.line) return;
    this.#owed = joined(this.#owed, run).slice(-limits.ackRunsCount);
  }

  acked(runs: readonly Run[], line: number): void {
    if (line !== this.#place?.line) return;
    for (const run of runs) this.#owed = without(this.#owed, run);
  }

  #newLine(line: number): void {
    if (line === this.#place?.line) return;
    this.#place = { cursor: '', seq: 0, line };
    this.#owed = [];
  }

  #miss(): void {
    this.#away = true;
    if (this.#place && !this.#full) this.#options.onMissed(this.#place);
  }

  #move(told: Extract<Told, { do: 'position' }>): void {
    if (told.position.seq < (this.#place?.seq ?? 0)) return;
    this.#place = { ...told.position, line: told.line };
    this.#wait(this.#options.tell(told));
  }

  #carry(carried: Carried): void {
    if (carried.seq <= (this.#place?.seq ?? 0)) return;
    const told = unpacked(carried);
    const { cursor } = told.do === 'item' ? told.deliver : told.update;
    this.#place = { cursor, seq: carried.seq, line: carried.line };
    this.window.add(carried);
    this.#wait(this.#options.tell(told));
  }

  #wait(room: Promise<void> | undefined): void {
    if (!room) return;
    this.#away = true;
    this.#full = true;
    room.then(() => {
      this.#full = false;
      this.#miss();
    });
  }
}
