// Memory for the one message that a stream usually sends in a turn: framed once, given to the kernel, used again. A broadcast makes no garbage.

/** Longer chunks get memory of their own. */
export const SLOT_BYTES = 1_024;
/** More than a slice of the flush; together they stay in the processor's cache. */
const SLOTS_COUNT = 128;

export class FrameSlot {
  readonly bytes = Buffer.allocUnsafeSlow(SLOT_BYTES);
  #view = this.bytes;
  #from = 0;

  /** The bytes in [from, to), by the same object as before when they lie where they did. */
  view(from: number, to: number): Buffer {
    if (from !== this.#from || to - from !== this.#view.length) {
      this.#view = this.bytes.subarray(from, to);
      this.#from = from;
    }
    return this.#view;
  }
}

const free: FrameSlot[] = [];
let made = 0;

/** A slot, or undefined when all are in use. It is given back, or lost to the socket, within the turn's flush. */
export function takeSlot(): FrameSlot | undefined {
  const slot = free.pop();
  if (slot !== undefined || made === SLOTS_COUNT) return slot;
  made += 1;
  return new FrameSlot();
}

/** The kernel has its bytes. */
export function giveBackSlot(slot: FrameSlot): void {
  free.push(slot);
}

/** The socket holds on to its bytes. */
export function loseSlot(): void {
  made -= 1;
}
