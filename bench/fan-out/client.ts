// A process full of clients: opens them a few at a time, counts what comes, and says when all of it is there.
import { fromBinary } from '@bufbuild/protobuf';
import { SubscribeResponseSchema } from '../../gen/carillon/v1/edge_pb.ts';
import { openHttp1 } from './client-http1.ts';
import { openHttp2 } from './client-http2.ts';
import { openSocketIo } from './client-socket-io.ts';
import type { StreamSink } from './client-stream-sink.ts';
import { openWs } from './client-ws.ts';
import type { ClientKind, FromClient, ToClient } from './messages.ts';

/** Connections that are being made at once. */
const OPENING_COUNT = 64;
const open = {
  http1: openHttp1,
  http2: openHttp2,
  'socket-io': openSocketIo,
  ws: openWs,
} as const satisfies Record<ClientKind, unknown>;

const say = (message: FromClient): void => void process.send?.(message);
let messages = 0;
let bytes = 0;
let expected = Number.POSITIVE_INFINITY;

function count(more: number): void {
  messages += more;
  if (messages < expected) return;
  expected = Number.POSITIVE_INFINITY;
  // After the rest of this piece was counted, too.
  setImmediate(() => say({ said: 'reached', bytes }));
}

/** One stream of each process reads what it gets, and knows that nothing is left out. */
function orderCheck(): (message: Buffer) => void {
  let last = 0;
  return (message) => {
    const { frame } = fromBinary(SubscribeResponseSchema, message);
    if (frame.case !== 'deliver') return;
    if (last !== 0 && frame.value.seq !== last + 1)
      say({ said: 'failed', why: `${last}, then ${frame.value.seq}` });
    last = frame.value.seq;
  };
}

function openAll({ kind, port, from, count: total, checkOrder }: Extract<ToClient, { do: 'open' }>): void {
  let begun = 0;
  let opened = 0;
  const openOne = (): void => {
    if (begun === total) return;
    const index = begun++;
    const sink: StreamSink = {
      opened() {
        opened += 1;
        if (opened === total) say({ said: 'opened' });
        openOne();
      },
      messages: count,
      bytes: (more) => {
        bytes += more;
      },
      failed: (why) => say({ said: 'failed', why }),
      ...(checkOrder && index === 0 && { onMessage: orderCheck() }),
    };
    open[kind](port, `u-${from + index}`, sink);
  };
  for (let index = 0; index < OPENING_COUNT; index++) openOne();
}

process.on('message', (message: ToClient) => {
  if (message.do === 'open') openAll(message);
  else {
    expected = message.messages;
    count(0);
  }
});
process.on('disconnect', () => process.exit());
