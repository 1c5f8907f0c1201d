// A client of single bytes over a plain socket, for requests that no library would make.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import { SubscribeRequestSchema } from '../../gen/carillon/v1/edge_pb.ts';
import { SUBSCRIBE_PATH } from './subscribe-path.ts';

export function enveloped(message: Uint8Array, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** An enveloped SubscribeRequest. */
export const subscribeBody = (deviceId: string, cursor?: string): Buffer =>
  enveloped(toBinary(SubscribeRequestSchema, create(SubscribeRequestSchema, { deviceId, cursor })));

export interface RawRequest {
  method?: string;
  path?: string;
  version?: string;
  /** Added to `host`; a value of undefined removes the one that stands there by default. */
  headers?: Readonly<Record<string, string | undefined>>;
  body?: Uint8Array;
}

/** A Subscribe of Connect with content-length, unless `request` says otherwise. */
export function rawRequest({
  method = 'POST',
  path = SUBSCRIBE_PATH,
  version = '1.1',
  headers = {},
  body = subscribeBody('silent'),
}: RawRequest = {}): Buffer {
  const all: Record<string, string | undefined> = {
    host: 'edge.test',
    'content-type': 'application/connect+proto',
    'content-length': String(body.length),
    ...headers,
  };
  let head = `${method} ${path} HTTP/${version}\r\n`;
  for (const [name, value] of Object.entries(all)) if (value !== undefined) head += `${name}: ${value}\r\n`;
  return Buffer.concat([Buffer.from(`${head}\r\n`, 'latin1'), body]);
}

export class RawClient {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #ended = false;
  #wake: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (bytes) => {
      this.#received = Buffer.concat([this.#received, bytes as Buffer]);
      this.#woken();
    });
    socket.on('close', () => {
      this.#ended = true;
      this.#woken();
    });
    socket.on('error', () => undefined);
  }

  static async connect(address: string): Promise<RawClient> {
    const { hostname, port } = new URL(address);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  #woken(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  get received(): Buffer {
    return this.#received;
  }

  get text(): string {
    return this.#received.toString('latin1');
  }

  send(bytes: Uint8Array | string): void {
    this.socket.write(bytes);
  }

  /** Resolves when what came holds `condition`; rejects when the connection ends before. */
  async until(condition: (client: RawClient) => boolean): Promise<void> {
    while (!condition(this)) {
      if (this.#ended)
        throw new Error(`the connection ended after ${JSON.stringify(this.text.slice(0, 300))}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** Resolves when the response has begun, with a first message on the stream that answers this client. */
  async begun(stream: { send(head: Uint8Array): void }): Promise<void> {
    stream.send(Buffer.alloc(1));
    await this.until(({ text }) => text.includes('\r\n\r\n') && text.endsWith('\r\n'));
  }

  /** Everything that came until the other side closed. */
  async end(): Promise<string> {
    while (!this.#ended) await new Promise<void>((resolve) => this.#wake.push(resolve));
    return this.text;
  }
}

/** Sends one request and returns all that comes until the other side closes. */
export async function exchange(address: string, bytes: Uint8Array | string): Promise<string> {
  const client = await RawClient.connect(address);
  client.send(bytes);
  return client.end();
}

/** The body of a response in chunks. */
export function dechunked(response: Buffer): { body: Buffer; trailers: string } {
  let at = response.indexOf('\r\n\r\n') + 4;
  const parts: Buffer[] = [];
  for (;;) {
    const line = response.indexOf('\r\n', at);
    if (line < 0) return { body: Buffer.concat(parts), trailers: '' };
    const size = Number.parseInt(response.toString('latin1', at, line), 16);
    if (size === 0) return { body: Buffer.concat(parts), trailers: response.toString('latin1', line + 2) };
    parts.push(response.subarray(line + 2, line + 2 + size));
    at = line + 2 + size + 2;
  }
}

/** The messages of an enveloped body, with their flags. */
export function messagesOf(body: Buffer): { flags: number; message: Buffer }[] {
  const messages: { flags: number; message: Buffer }[] = [];
  for (let at = 0; at + 5 <= body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    messages.push({ flags: body[at] as number, message: body.subarray(at + 5, end) });
    at = end;
  }
  return messages;
}
