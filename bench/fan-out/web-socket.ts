// What a lean WebSocket client needs: the handshake, and the frames that a server sends, cut into pieces anywhere.
import { connect, type Socket } from 'node:net';
import type { StreamSink } from './client-stream-sink.ts';

/** Opens a WebSocket at `path`; `onFrame` gets the beginning of each frame's payload and its length. */
export function openWebSocket(
  port: number,
  path: string,
  sink: StreamSink,
  onFrame: (start: string, length: number, socket: Socket) => void,
  onUpgraded: () => void = () => undefined,
): Socket {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  socket.write(
    `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nupgrade: websocket\r\n` +
      'connection: Upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  let rest: Buffer = Buffer.alloc(0);
  let upgraded = false;
  /** Returns how many bytes were whole frames. */
  const readFrames = (bytes: Buffer): number => {
    let at = 0;
    while (bytes.length - at >= 2) {
      let length = bytes[at + 1]! & 0x7f;
      let head = 2;
      if (length === 126) {
        if (bytes.length - at < 4) break;
        length = bytes.readUInt16BE(at + 2);
        head = 4;
      }
      const end = at + head + length;
      if (end > bytes.length) break;
      onFrame(bytes.toString('latin1', at + head, Math.min(end, at + head + 3)), length, socket);
      at = end;
    }
    return at;
  };
  socket.on('data', (data: Buffer) => {
    rest = rest.length === 0 ? data : Buffer.concat([rest, data]);
    if (!upgraded) {
      const end = rest.indexOf('\r\n\r\n');
      if (end < 0) return;
      if (!rest.toString('latin1', 0, 12).startsWith('HTTP/1.1 101')) return sink.failed('no upgrade');
      upgraded = true;
      rest = rest.subarray(end + 4);
      onUpgraded();
    }
    rest = Buffer.from(rest.subarray(readFrames(rest)));
  });
  socket.on('error', (error) => sink.failed(error.message));
  socket.on('close', () => sink.failed('closed'));
  return socket;
}
