// One call of Subscribe: its frames one by one, its silence noticed, and nothing left running when it is let go.
import { durationMs } from '@bufbuild/protobuf/wkt';
import type { Client } from '@connectrpc/connect';
import type { EdgeService, SubscribeRequest, SubscribeResponse } from '../gen/carillon/v1/edge_pb.ts';
import type { Clock } from './clock.ts';
import { type Failure, failureOf } from './failure.ts';
import { limits } from './limits.ts';

export type EdgeClient = Client<typeof EdgeService>;

export interface ConnectionOptions {
  readonly client: EdgeClient;
  readonly request: Pick<SubscribeRequest, 'cursor' | 'deviceId' | 'activity' | 'mayRedirect'>;
  readonly token: string;
  readonly clock: Clock;
  /** A promise: the app has enough for now; nothing is read until it resolves. */
  onFrame(frame: SubscribeResponse['frame']): Promise<void> | undefined;
  /** Once, unless it was closed before. */
  onEnded(failure: Failure): void;
}

const SILENT: Failure = { remedy: 'wait', reason: 'SILENT', message: 'The edge said nothing for too long.' };
const ENDED: Failure = { remedy: 'wait', reason: 'ENDED', message: 'The edge ended the stream.' };

export const authorization = (token: string): Record<string, string> => ({
  authorization: `Bearer ${token}`,
});

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #call = new AbortController();
  /** Nothing may be silent for longer. */
  #allowedMs: number = limits.connectMs;
  #heardMs: number;
  /** It is we who do not read. */
  #paused = false;
  #unwatch: () => void = () => {};
  #over = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#heardMs = options.clock.monotonic();
    this.#watch(this.#allowedMs);
    void this.#read();
  }

  /** Ends it; `onEnded` is not called any more. */
  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#unwatch();
    // Leaving the loop alone would let the edge go on sending.
    this.#call.abort();
  }

  async #read(): Promise<void> {
    const { client, request, token, onFrame } = this.#options;
    try {
      const options = { signal: this.#call.signal, headers: authorization(token) };
      for await (const { frame } of client.subscribe(request, options)) {
        if (this.#over) return;
        this.#heardMs = this.#options.clock.monotonic();
        if (frame.case === 'hello') this.#greeted(frame.value.heartbeat);
        const room = onFrame(frame);
        if (room) await this.#pause(room);
        if (this.#over) return;
      }
      this.#end(ENDED);
    } catch (error) {
      this.#end(failureOf(error));
    } finally {
      this.close();
    }
  }

  #greeted(heartbeat: Parameters<typeof durationMs>[0] | undefined): void {
    const beatMs = (heartbeat && durationMs(heartbeat)) || limits.heartbeatMs;
    this.#allowedMs = limits.silentHeartbeats * beatMs + limits.silentSlackMs;
    this.#unwatch();
    this.#watch(this.#allowedMs);
  }

  async #pause(room: Promise<void>): Promise<void> {
    this.#paused = true;
    await room;
    this.#paused = false;
    this.#heardMs = this.#options.clock.monotonic();
  }

  /** One timer that looks again rather than one for each frame. */
  #watch(inMs: number): void {
    this.#unwatch = this.#options.clock.after(inMs, () => {
      const silentMs = this.#paused ? 0 : this.#options.clock.monotonic() - this.#heardMs;
      if (silentMs >= this.#allowedMs) this.#end(SILENT);
      else this.#watch(this.#allowedMs - silentMs);
    });
  }

  #end(failure: Failure): void {
    if (this.#over) return;
    this.close();
    this.#options.onEnded(failure);
  }
}
