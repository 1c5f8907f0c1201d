// A client that stops reading costs the edge its byte bound, whatever is sent to it, and has all of it in order once it reads again.
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import type { Readable } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { fromBinary } from '@bufbuild/protobuf';
import { expect, onTestFinished, test } from 'vitest';
import { TargetOutcome } from '../gen/carillon/v1/edge_link_pb.ts';
import { Activity, SubscribeResponseSchema } from '../gen/carillon/v1/edge_pb.ts';
import { limits } from '../runtime/limits.ts';
import { silentLog } from '../runtime/log.ts';
import { offer, testHub } from './hub.fixture.ts';
import type { Session } from './session.ts';
import { openEdgePort } from './wire/edge-port.ts';
import { SUBSCRIBE_PATH } from './wire/subscribe-path.ts';

const ITEM_BYTES = 16_384;
/** 64 MiB, many times what the kernel takes for a connection. */
const ITEMS = 4_096;
const MIB = 2 ** 20;
const EMPTY_MESSAGE = Buffer.alloc(5);

async function served() {
  const setting = testHub();
  setting.model.padding = ITEM_BYTES;
  setting.model.pageRows = 100;
  setting.model.contents = 100;
  const sessions: Session[] = [];
  const port = await openEdgePort({
    port: 0,
    log: silentLog,
    subscribe: (request, stream) => {
      const opening = {
        deviceId: request.deviceId,
        attention: Activity.FOREGROUND,
        mayRedirect: false,
      } as const;
      const token = { issuedMs: 0, expiresMs: undefined, cursor: undefined, place: undefined } as const;
      sessions.push(
        setting.hub.open({ user: { tenant: 'default', userId: 'ada' }, ...opening, ...token }, stream),
      );
    },
  });
  onTestFinished(() => port.close(0));
  return { ...setting, port, sessions };
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** What is held, not what has yet to be collected. */
async function buffersBytes(): Promise<number> {
  // The first sweeps in the background, the second waits for it.
  for (let count = 0; count < 2; count++) {
    collect();
    await new Promise(setImmediate);
  }
  return process.memoryUsage().arrayBuffers;
}

/** The body of the answer, as bytes of messages behind their envelopes. */
async function onHttp1(address: string): Promise<Readable> {
  const { hostname, port } = new URL(address);
  const socket = net.connect(Number(port), hostname);
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  const head = `POST ${SUBSCRIBE_PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/connect+proto\r\n`;
  socket.write(Buffer.concat([Buffer.from(`${head}content-length: 5\r\n\r\n`), EMPTY_MESSAGE]));
  return socket;
}

async function onHttp2(address: string): Promise<Readable> {
  const session = http2.connect(address);
  onTestFinished(() => session.destroy());
  const stream = session.request({
    ':method': 'POST',
    ':path': SUBSCRIBE_PATH,
    'content-type': 'application/connect+proto',
  });
  stream.end(EMPTY_MESSAGE);
  await once(stream, 'response');
  return stream;
}

/** Reads until the item `upto` is there; the positions in the order in which they came. */
async function positions(body: Readable, http1: boolean, upto: number): Promise<number[]> {
  const seqs: number[] = [];
  let waits = Buffer.alloc(0);
  let parts: Buffer[] = [];
  const take = () => {
    let at = 0;
    while (waits.length - at >= 5) {
      const end = at + 5 + waits.readUInt32BE(at + 1);
      if (end > waits.length) break;
      const { frame } = fromBinary(SubscribeResponseSchema, waits.subarray(at + 5, end));
      if (frame.case === 'deliver') seqs.push(frame.value.seq);
      at = end;
    }
    waits = waits.subarray(at);
  };
  const chunks = new ChunkReader();
  for await (const bytes of body as AsyncIterable<Buffer>) {
    parts.push(...(http1 ? chunks.take(bytes) : [bytes]));
    if (parts.reduce((sum, { length }) => sum + length, waits.length) < ITEM_BYTES) continue;
    waits = Buffer.concat([waits, ...parts]);
    parts = [];
    take();
    if (seqs.at(-1) === upto) return seqs;
  }
  throw new Error(`the stream ended after ${seqs.length} items`);
}

/** Takes the head and the chunks of a response of HTTP/1.1 apart, whatever the pieces. */
class ChunkReader {
  #waits = Buffer.alloc(0);
  #inHead = true;
  /** Bytes of the chunk that are still to come, with its line end. */
  #left = 0;

  take(bytes: Buffer): Buffer[] {
    this.#waits = Buffer.concat([this.#waits, bytes]);
    const found: Buffer[] = [];
    for (;;) {
      if (this.#left > 0) {
        const part = this.#waits.subarray(0, this.#left);
        if (part.length === 0) return found;
        const own = Math.max(0, Math.min(part.length, this.#left - 2));
        if (own > 0) found.push(part.subarray(0, own));
        this.#left -= part.length;
        this.#waits = this.#waits.subarray(part.length);
        continue;
      }
      const mark = this.#inHead ? '\r\n\r\n' : '\r\n';
      const end = this.#waits.indexOf(mark);
      if (end < 0) return found;
      if (!this.#inHead) this.#left = Number.parseInt(this.#waits.toString('latin1', 0, end), 16) + 2;
      this.#inHead = false;
      this.#waits = this.#waits.subarray(end + mark.length);
    }
  }
}

test.each([
  ['HTTP/1.1', onHttp1],
  ['HTTP/2', onHttp2],
])(
  'over %s',
  async (name, connect) => {
    const setting = await served();
    const body = await connect(setting.port.address);
    await expect.poll(() => setting.sessions[0]?.open).toBe(true);
    const { stream } = setting.sessions[0]!;
    const before = await buffersBytes();
    let most = 0;
    let written = 0;
    // Nobody reads `body`.
    for (let sent = 0; sent < ITEMS; sent++) {
      const { firstSeq } = setting.model.add();
      if ((await offer(setting, firstSeq)).outcome === TargetOutcome.WRITTEN) written++;
      await new Promise(setImmediate);
      most = Math.max(most, stream.bufferedBytes);
    }
    const grown = (await buffersBytes()) - before;
    expect(most).toBeGreaterThan(limits.streamBufferBytes);
    expect(most).toBeLessThan(limits.streamBufferBytes + 2 * ITEM_BYTES);
    expect(written).toBeLessThan(ITEMS / 2);
    expect(grown).toBeLessThan(8 * MIB);
    const seqs = await positions(body, name === 'HTTP/1.1', ITEMS);
    expect(seqs).toEqual(Array.from({ length: ITEMS }, (_, at) => at + 1));
    process.stdout.write(
      `${name}: of ${(ITEMS * ITEM_BYTES) / MIB} MiB for a client that read nothing at most ${Math.round(most / 1_024)} KiB waited ` +
        `(bound ${limits.streamBufferBytes / 1_024} KiB), buffers grew by ${(grown / MIB).toFixed(1)} MiB, ` +
        `${written} items were written, and all ${ITEMS} came in order once it read\n`,
    );
  },
  60_000,
);
