// HTTP/2 frames as bytes, for what no client library would send.
import { once } from 'node:events';
import net, { type Socket } from 'node:net';

type Header = readonly [name: string, value: string];

const DATA = 0;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const END_STREAM = 1;
const END_HEADERS = 4;

function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** A string of HPACK: at most 254 bytes. */
function hpackString(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const length = bytes.length < 127 ? [bytes.length] : [127, bytes.length - 127];
  return Buffer.concat([Buffer.from(length), bytes]);
}

const hpack = (headers: readonly Header[]): Buffer =>
  Buffer.concat(
    headers.map(([name, value]) => Buffer.concat([Buffer.from([0]), hpackString(name), hpackString(value)])),
  );

export const greeting = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  frame(SETTINGS, 0, 0, new Uint8Array()),
]);

export interface Head {
  method: string;
  path: string;
  headers: readonly Header[];
  end?: boolean;
}

export const head = (streamId: number, { method, path, headers, end = false }: Head): Buffer =>
  frame(
    HEADERS,
    END_HEADERS | (end ? END_STREAM : 0),
    streamId,
    hpack([
      [':method', method],
      [':scheme', 'http'],
      [':authority', 'localhost'],
      [':path', path],
      ...headers,
    ]),
  );

export const data = (streamId: number, body: Uint8Array, end = false): Buffer =>
  frame(DATA, end ? END_STREAM : 0, streamId, body);

/** Of code CANCEL unless another is given. */
export function reset(streamId: number, code = 8): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(code);
  return frame(RST_STREAM, 0, streamId, payload);
}

/** A connection whose bytes nobody looks at. */
export async function connect(address: string): Promise<Socket> {
  const { hostname, port } = new URL(address);
  const socket = net.connect(Number(port), hostname);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** Resolves when the socket is closed, by whomever and however. */
export const closing = (socket: Socket): Promise<void> =>
  new Promise((resolve) => socket.once('close', () => resolve()));

/** Writes, and resolves when there is room for more, or nobody to write to. */
export function written(socket: Socket, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    if (socket.write(bytes) || socket.destroyed) return resolve();
    const done = () => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.on('drain', done).on('close', done);
  });
}
