// Stores the cursor after its item was handled: the newest one, one write at a time, whatever the store does.
import { type CursorStore, formatKept, type Kept, parseKept } from './cursors.ts';

export class Keeper {
  readonly #store: CursorStore;
  readonly #onError: (error: unknown) => void;
  #key: string | undefined;
  /** Waits for the write that is under way. `undefined`: nothing does; `null`: it is to be removed. */
  #next: Kept | null | undefined;
  #writing: Promise<void> | undefined;

  constructor(store: CursorStore, onError: (error: unknown) => void) {
    this.#store = store;
    this.#onError = onError;
  }

  /** What was stored under this key, which is that of everything to come. */
  async load(key: string): Promise<Kept | undefined> {
    this.#key = key;
    try {
      const text = await this.#store.load(key);
      return text === undefined ? undefined : parseKept(text);
    } catch (error) {
      this.#onError(error);
      return undefined;
    }
  }

  save(kept: Kept): void {
    this.#write(kept);
  }

  forget(): void {
    this.#write(null);
  }

  /** Resolves when nothing waits to be written. */
  async idle(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  #write(next: Kept | null): void {
    if (this.#key === undefined) return;
    this.#next = next;
    if (this.#writing) return;
    const put = this.#put();
    if (!put) return;
    this.#writing = put.catch(this.#onError).then(() => {
      this.#writing = undefined;
      if (this.#next !== undefined) this.#write(this.#next);
    });
  }

  /** Undefined when the store is done at once. */
  #put(): Promise<void> | undefined {
    const next = this.#next;
    const key = this.#key ?? '';
    this.#next = undefined;
    try {
      const done = next ? this.#store.save(key, formatKept(next)) : this.#store.remove(key);
      return done instanceof Promise ? done : undefined;
    } catch (error) {
      this.#onError(error);
      return undefined;
    }
  }
}
