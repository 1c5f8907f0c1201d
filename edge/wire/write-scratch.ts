// Memory for a write that the kernel takes at once: the same bytes serve the next stream, so a broadcast makes no garbage.
import type { Socket } from 'node:net';

/** Longer writes get memory of their own. */
const SCRATCH_BYTES = 4_096;

let views: Buffer[] = [];
let scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

function view(length: number): Buffer {
  let found = views[length];
  if (found === undefined) {
    found = scratch.subarray(0, length);
    views[length] = found;
  }
  return found;
}

/**
 * Memory of `length` bytes for the next write to `socket`. A plain socket with nothing waiting gives its bytes to the kernel
 * within `write`; TLS, and a socket with a backlog, hold on to them.
 */
export function scratchFor(socket: Socket, length: number): Buffer {
  if (length > SCRATCH_BYTES || socket.writableLength > 0 || 'encrypted' in socket)
    return Buffer.allocUnsafe(length);
  return view(length);
}

/** To be called after each write of scratch memory: what the kernel did not take stays with the socket. */
export function writtenFrom(socket: Socket, bytes: Buffer): void {
  if (socket.writableLength === 0 || bytes.buffer !== scratch.buffer) return;
  scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  views = [];
}
