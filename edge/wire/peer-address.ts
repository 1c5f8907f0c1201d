// The address at the other end of a socket, without making the socket remember it: node keeps an object per socket once it was asked.
import type { Socket } from 'node:net';

/** What node:net itself calls for `remoteAddress`. */
interface Handle {
  /** 0, or a negative errno. */
  getpeername(into: { address?: string }): number;
}

const answer: { address?: string } = {};

/** Empty when the connection is gone. */
export function peerAddress(socket: Socket): string {
  const handle = ('_handle' in socket ? socket._handle : undefined) as Partial<Handle> | null | undefined;
  if (typeof handle?.getpeername !== 'function') return socket.remoteAddress ?? '';
  return handle.getpeername(answer) === 0 ? (answer.address ?? '') : '';
}
