// A process full of clients: opens them a few at a time, counts what comes, and says when all of it is there.
import type { Socket } from 'node:net';
import { fromBinary } from '@bufbuild/protobuf';
import { Resume, SubscribeResponseSchema } from '../../gen/carillon/v1/edge_pb.ts';
import { systemClock } from '../../runtime/clock.ts';
import { openHttp1 } from './client-http1.ts';
import { openHttp2 } from './client-http2.ts';
import { openSocketIo } from './client-socket-io.ts';
import type { StreamSink } from './client-stream-sink.ts';
import { openWs } from './client-ws.ts';
import type { ClientKind, FromClient, OpenStreams, ToClient } from './messages.ts';
import { newToken } from './tokens.ts';

const openers = {
  http1: openHttp1,
  http2: openHttp2,
  'socket-io': openSocketIo,
  ws: openWs,
} as const satisfies Record<ClientKind, unknown>;

const say = (message: FromClient): void => void process.send?.(message);
const sockets = new Set<Socket>();
let messages = 0;
let bytes = 0;
let expected = Number.POSITIVE_INFINITY;
/** When messages came, if anybody wants to know. */
let times: { atMs: number; messages: number }[] | undefined;

function count(more: number): void {
  messages += more;
  if (times && more > 0) {
    const atMs = systemClock.now();
    const last = times.at(-1);
    if (last?.atMs === atMs) last.messages += more;
    else times.push({ atMs, messages: more });
  }
  if (messages < expected) return;
  expected = Number.POSITIVE_INFINITY;
  // After the rest of this piece was counted, too.
  setImmediate(() => say({ said: 'reached', bytes, times: times ?? [] }));
}

/** One stream of each process reads what it gets, and knows that it resumed and that nothing is left out. */
function check(cursor: string | undefined): (message: Buffer) => void {
  let last = 0;
  return (message) => {
    const { frame } = fromBinary(SubscribeResponseSchema, message);
    if (frame.case === 'hello' && cursor !== undefined && frame.value.resume !== Resume.RESUMED)
      say({ said: 'failed', why: `the stream did not resume: ${frame.value.resumeReason}` });
    if (frame.case !== 'deliver') return;
    if (last !== 0 && frame.value.seq !== last + 1)
      say({ said: 'failed', why: `${last}, then ${frame.value.seq}` });
    last = frame.value.seq;
  };
}

function open({ kind, port, from, count: total, parallel, cursor, checkOrder }: OpenStreams): void {
  const tokens = Array.from({ length: total }, (_, index) => newToken(`u-${from + index}`));
  const startMs = systemClock.monotonic();
  let begun = 0;
  let opened = 0;
  const openOne = (): void => {
    if (begun === total) return;
    const index = begun++;
    const sink: StreamSink = {
      opened() {
        opened += 1;
        if (opened === total) say({ said: 'opened', ms: systemClock.monotonic() - startMs });
        openOne();
      },
      messages: count,
      bytes: (more) => {
        bytes += more;
      },
      failed(why) {
        if (sockets.delete(socket)) say({ said: 'failed', why });
      },
      ...(checkOrder && index === 0 && { onMessage: check(cursor) }),
    };
    const socket = openers[kind](port, { token: tokens[index]!, cursor }, sink);
    sockets.add(socket);
  };
  for (let index = 0; index < parallel; index++) openOne();
}

function drop(): void {
  const all = [...sockets];
  sockets.clear();
  for (const socket of all) socket.resetAndDestroy();
  say({ said: 'dropped' });
}

process.on('message', (message: ToClient) => {
  if (message.do === 'open') open(message);
  else if (message.do === 'drop') drop();
  else {
    expected = message.messages;
    times = message.times ? [] : undefined;
    count(0);
  }
});
process.on('disconnect', () => process.exit());
