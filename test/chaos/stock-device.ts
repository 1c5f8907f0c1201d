// A client as an app would write it with the stock library: subscribe, handle, keep the cursor, ack, come back.
import { type Client, createClient, type Transport } from '@connectrpc/connect';
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node';
import { EdgeService } from '../../gen/carillon/v1/edge_pb.ts';
import { systemClock } from '../../runtime/clock.ts';
import { milliseconds, toldToStayAway } from './delays.ts';
import type { Device } from './history.ts';
import type { Chance } from './random.ts';
import type { Witness } from './witness.ts';

/** A little more than two heartbeats: a stream that says nothing for this long is taken for dead. */
const SILENCE_MS = 60_000;
const ACK_TIMEOUT_MS = 5_000;
const ACK_AGAIN_MS = 500;
/** Of the frames: how often the device hangs up after one. */
const HANG_UP = 0.01;

const transports: readonly ((baseUrl: string) => Transport)[] = [
  (baseUrl) => createConnectTransport({ baseUrl, httpVersion: '1.1' }),
  (baseUrl) => createConnectTransport({ baseUrl, httpVersion: '2' }),
  (baseUrl) => createGrpcTransport({ baseUrl }),
  (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: '1.1' }),
];

class StockDevice {
  readonly #client: Client<typeof EdgeService>;
  readonly #url: string;
  readonly #headers: () => Promise<Record<string, string>>;
  readonly #witness: Witness;
  readonly #chance: Chance;
  #cursor: string | undefined;
  #sessionId = '';
  #handled = 0;
  #acked = 0;
  #acking = false;

  constructor(
    transport: Transport,
    url: string,
    headers: () => Promise<Record<string, string>>,
    witness: Witness,
    chance: Chance,
  ) {
    this.#client = createClient(EdgeService, transport);
    this.#url = url;
    this.#headers = headers;
    this.#witness = witness;
    this.#chance = chance;
  }

  /** Never ends. */
  async run(): Promise<void> {
    for (;;) {
      const pauseMs = await this.#follow();
      await systemClock.sleep(pauseMs + this.#chance.between(20, 300));
    }
  }

  /** One stream, to its end; resolves with how long the edge asked it to stay away. */
  async #follow(): Promise<number> {
    using call = new AbortControllerOnce();
    const arrived = this.#witness.arriving(this.#url);
    let greeted = false;
    let silence = systemClock.after(SILENCE_MS, () => call.abort());
    try {
      const frames = this.#client.subscribe(
        { cursor: this.#cursor },
        { headers: await this.#headers(), signal: call.signal },
      );
      for await (const { frame } of frames) {
        silence[Symbol.dispose]();
        silence = systemClock.after(SILENCE_MS, () => call.abort());
        if (frame.case === 'hello') {
          this.#sessionId = frame.value.sessionId;
          this.#cursor ??= frame.value.cursor;
          greeted = true;
          arrived();
          this.#witness.hello();
        } else if (frame.case === 'deliver') {
          const { seq, cursor, item } = frame.value;
          this.#witness.seen(item?.notificationId ?? '', seq);
          if (this.#handled === 0) this.#acked = seq - 1;
          this.#cursor = cursor;
          this.#handled = seq;
          void this.#ack();
          if (this.#chance.next() < HANG_UP) {
            this.#witness.leaving();
            return 0;
          }
        } else if (frame.case === 'watermark') this.#cursor = frame.value.cursor;
        else if (frame.case === 'goAway') return milliseconds(frame.value.reconnectAfter);
      }
      return 0;
    } catch (error) {
      // The edge went away or refused: either way the device comes back from its cursor, and no sooner than it was told.
      const told = toldToStayAway(error);
      if (told !== undefined && !greeted) arrived();
      return told ?? 0;
    } finally {
      silence[Symbol.dispose]();
    }
  }

  /** One call at a time, again and again until all that was handled is acknowledged. */
  async #ack(): Promise<void> {
    if (this.#acking) return;
    this.#acking = true;
    while (this.#handled > this.#acked) {
      const request = { sessionId: this.#sessionId, after: this.#acked, upto: this.#handled };
      try {
        await this.#client.ack(request, { headers: await this.#headers(), timeoutMs: ACK_TIMEOUT_MS });
        this.#acked = request.upto;
        this.#witness.acked(request.after, request.upto, []);
      } catch {
        await systemClock.sleep(ACK_AGAIN_MS);
      }
    }
    this.#acking = false;
  }
}

/** Leaving a stream of Connect does not end it; aborting its call does. */
class AbortControllerOnce extends AbortController implements Disposable {
  [Symbol.dispose](): void {
    this.abort();
  }
}

export interface StockOptions {
  url: string;
  witness: Witness;
  chance: Chance;
  headers: () => Promise<Record<string, string>>;
}

/** Holds one user's stream on one edge, for ever; drops it by itself now and then. */
export function playStock(device: Device, { url, witness, chance, headers }: StockOptions): void {
  const transport = transports[device.id % transports.length]!(url);
  void new StockDevice(transport, url, headers, witness, chance).run();
}
