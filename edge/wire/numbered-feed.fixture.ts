// A port whose Subscribe sends numbers: 1, 2, 3 … after the cursor, as fast as the client takes them. For tests of what the wire promises.
import { create, toBinary } from '@bufbuild/protobuf';
import {
  EdgeService,
  type SubscribeRequest,
  type SubscribeResponse,
  SubscribeResponseSchema,
} from '../../gen/carillon/v1/edge_pb.ts';
import type { CallHeaders } from '../../runtime/authenticator.ts';
import { CarillonError } from '../../runtime/errors.ts';
import { limits } from '../../runtime/limits.ts';
import { silentLog } from '../../runtime/log.ts';
import type { ClientStream, CloseReason } from './client-stream.ts';
import { type EdgePortOptions, type ListeningEdgePort, openEdgePort } from './edge-port.ts';
import { WireStream } from './wire-stream.ts';

export interface Opened {
  readonly request: SubscribeRequest;
  readonly stream: ClientStream;
  readonly headers: CallHeaders;
  /** Resolves when the stream is over. */
  readonly closed: Promise<CloseReason>;
}

export interface NumberedFeed extends AsyncDisposable {
  readonly port: ListeningEdgePort;
  readonly address: string;
  /** Every stream so far. */
  readonly opened: readonly Opened[];
  /** Resolves with the n-th stream, from 0, once it is open. */
  stream(index: number): Promise<Opened>;
}

export function deliver(seq: number, title = 'a title of some length'): Uint8Array {
  const frame: SubscribeResponse['frame'] = create(SubscribeResponseSchema, {
    frame: { case: 'deliver', value: { seq, cursor: String(seq), item: { content: { title } } } },
  }).frame;
  return toBinary(SubscribeResponseSchema, create(SubscribeResponseSchema, { frame }));
}

/** Cuts the connection as a network does. */
export function cut(stream: ClientStream): void {
  if (!(stream instanceof WireStream)) throw new Error('not a stream of this port');
  stream.destroy();
}

/** Sends (from, upto], and stops while more waits than a stream may hold. */
function feed(stream: ClientStream, from: number, upto: number, cutAfter: number): void {
  let seq = from;
  const step = () => {
    while (seq < upto) {
      if (stream.bufferedBytes > limits.streamBufferBytes) return stream.onDrain(step);
      seq += 1;
      const message = deliver(seq);
      // Head and shared rest, as a session sends them.
      stream.send(message.subarray(0, 7), message.subarray(7));
      if (seq - from === cutAfter) return void setImmediate(() => cut(stream));
      if (seq % 50 === 0) return void setImmediate(step);
    }
    stream.end();
  };
  step();
}

/**
 * `device_id` says what is done with a stream: `numbers`: sends up to `upto`; `numbers:N`: the connection breaks after N;
 * `error`: ends with CURSOR_AHEAD and a retry delay; `throw`: the handler throws; anything else: stays silent.
 */
export async function numberedFeed(
  upto: number,
  options: Partial<EdgePortOptions> = {},
): Promise<NumberedFeed> {
  const opened: Opened[] = [];
  const waiting: (() => void)[] = [];
  const port = await openEdgePort({
    port: 0,
    log: silentLog,
    routes: (router) => router.service(EdgeService, { ack: () => ({ acknowledged: 7 }) }),
    subscribe(request, stream, headers) {
      const { promise: closed, resolve } = Promise.withResolvers<CloseReason>();
      stream.onClose(resolve);
      opened.push({ request, stream, headers, closed });
      for (const wake of waiting.splice(0)) wake();
      const [what, after] = request.deviceId.split(':');
      if (what === 'numbers') feed(stream, Number(request.cursor ?? 0), upto, Number(after ?? -1));
      else if (what === 'error')
        stream.end(new CarillonError('CURSOR_AHEAD', undefined, { retryAfterMs: 1_500 }));
      else if (what === 'throw')
        throw new CarillonError('TOO_MANY_STREAMS', 'No room.', { retryAfterMs: 250 });
    },
    ...options,
  });
  return {
    port,
    address: port.address,
    opened,
    async stream(index) {
      while (opened.length <= index) await new Promise<void>((resolve) => waiting.push(resolve));
      return opened[index]!;
    },
    [Symbol.asyncDispose]: () => port.close(0),
  };
}
