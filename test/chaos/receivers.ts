// Clients as an app would write them with the stock library: subscribe, handle, keep the cursor, ack, come back.
import { type Client, createClient, type Transport } from '@connectrpc/connect';
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node';
import { EdgeService } from '../../gen/carillon/v1/edge_pb.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { History } from './history.ts';
import type { Chance } from './random.ts';

/** A little more often than the heartbeat asks for: a stream that says nothing for this long is taken for dead. */
const SILENCE_MS = 60_000;

const transports: readonly ((baseUrl: string) => Transport)[] = [
  (baseUrl) => createConnectTransport({ baseUrl, httpVersion: '1.1' }),
  (baseUrl) => createConnectTransport({ baseUrl, httpVersion: '2' }),
  (baseUrl) => createGrpcTransport({ baseUrl }),
  (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: '1.1' }),
];

export interface Receiver {
  readonly userId: string;
  /** Resolves with the first Hello. */
  readonly connected: Promise<void>;
  readonly done: Promise<void>;
}

/** Holds one user's stream until `signal` aborts; drops it by itself now and then. */
export function receive(
  userId: string,
  index: number,
  edge: string,
  history: History,
  chance: Chance,
  signal: AbortSignal,
): Receiver {
  const client = createClient(EdgeService, transports[index % transports.length]!(edge));
  const { promise: connected, resolve: onConnected } = Promise.withResolvers<void>();
  const state = { userId, cursor: undefined as string | undefined, handled: 0, acked: 0 };

  async function loop(): Promise<void> {
    while (!signal.aborted) {
      const call = new AbortController();
      const ended = AbortSignal.any([signal, call.signal]);
      try {
        await follow(client, state, history, chance, call, ended, onConnected);
      } catch {
        // The edge went away, or this client hung up: either way it comes back from its cursor.
      } finally {
        call.abort();
      }
      await systemClock.sleep(chance.between(20, 300), signal);
    }
  }
  return { userId, connected, done: loop() };
}

interface ReceiverState {
  readonly userId: string;
  cursor: string | undefined;
  handled: number;
  acked: number;
}

async function follow(
  client: Client<typeof EdgeService>,
  state: ReceiverState,
  history: History,
  chance: Chance,
  call: AbortController,
  signal: AbortSignal,
  onConnected: () => void,
): Promise<void> {
  const headers = { 'x-carillon-user': state.userId };
  let sessionId = '';
  let silence = systemClock.after(SILENCE_MS, () => call.abort());
  try {
    for await (const { frame } of client.subscribe({ cursor: state.cursor }, { headers, signal })) {
      silence[Symbol.dispose]();
      silence = systemClock.after(SILENCE_MS, () => call.abort());
      if (frame.case === 'hello') {
        sessionId = frame.value.sessionId;
        state.cursor ??= frame.value.cursor;
        onConnected();
        ack(client, state, headers, sessionId);
      } else if (frame.case === 'deliver') {
        const { seq, cursor, item } = frame.value;
        history.seen.push({
          userId: state.userId,
          notificationId: item?.notificationId ?? '',
          seq,
          atMs: systemClock.now(),
        });
        state.cursor = cursor;
        state.handled = seq;
        ack(client, state, headers, sessionId);
        if (chance.next() < 0.01) call.abort();
      } else if (frame.case === 'watermark') {
        state.cursor = frame.value.cursor;
      } else if (frame.case === 'goAway') {
        call.abort();
      }
    }
  } finally {
    silence[Symbol.dispose]();
  }
}

function ack(
  client: Client<typeof EdgeService>,
  state: ReceiverState,
  headers: Record<string, string>,
  sessionId: string,
): void {
  const upto = state.handled;
  if (upto <= state.acked) return;
  client.ack({ sessionId, after: state.acked, upto }, { headers, timeoutMs: 5_000 }).then(
    () => {
      state.acked = Math.max(state.acked, upto);
    },
    // The next frame or the next Hello acknowledges it again.
    () => {},
  );
}
