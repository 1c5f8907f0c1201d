// Memory for what a stream sends in one turn: framed in place, given to the kernel, used again. A broadcast makes no garbage.

interface Pool {
  readonly bytes: number;
  /** Together they stay in the processor's cache, and are more than a slice of the flush. */
  readonly mostCount: number;
  readonly free: FrameSlot[];
  /** Of this pool, free or in use. */
  made: number;
}

export class FrameSlot {
  readonly bytes: Buffer;
  readonly pool: Pool | undefined;
  #view: Buffer;
  #from = 0;

  constructor(bytes: Buffer, pool?: Pool) {
    this.bytes = this.#view = bytes;
    this.pool = pool;
  }

  /** The bytes in [from, to), by the same object as before when they lie where they did. */
  view(from: number, to: number): Buffer {
    if (from !== this.#from || to - from !== this.#view.length) {
      this.#view = this.bytes.subarray(from, to);
      this.#from = from;
    }
    return this.#view;
  }
}

const poolOf = (bytes: number, mostCount: number): Pool => ({ bytes, mostCount, free: [], made: 0 });
/** One message is the rule; a burst of ten or twenty fits into the larger. */
const one = poolOf(1_024, 128);
const burst = poolOf(8_192, 64);

/** A slot of at least `bytes`. It is given back, or lost to the socket, within the turn's flush. */
export function takeSlot(bytes: number): FrameSlot {
  const pool = bytes <= one.bytes ? one : burst;
  if (bytes > pool.bytes) return new FrameSlot(Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(bytes))));
  const slot = pool.free.pop();
  if (slot !== undefined) return slot;
  if (pool.made === pool.mostCount) return new FrameSlot(Buffer.allocUnsafe(bytes));
  pool.made += 1;
  return new FrameSlot(Buffer.allocUnsafeSlow(pool.bytes), pool);
}

/** One of at least `bytes` that begins with the first `used` of `slot`, which is given back. */
export function largerSlot(slot: FrameSlot, bytes: number, used: number): FrameSlot {
  const larger = takeSlot(Math.max(bytes, 2 * slot.bytes.length));
  larger.bytes.set(slot.bytes.subarray(0, used));
  giveBackSlot(slot);
  return larger;
}

/** Nobody reads its bytes any more. */
export function giveBackSlot(slot: FrameSlot): void {
  slot.pool?.free.push(slot);
}

/** The socket holds on to its bytes. */
export function loseSlot({ pool }: FrameSlot): void {
  if (pool) pool.made -= 1;
}
