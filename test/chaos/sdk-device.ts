// The SDK as an app uses it, watched at its two ends: what its handler gets, and what its transport carries.
import type { Transport } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { CarillonClient, fetchTransport } from '../../client/client.ts';
import type { AckRequest, SubscribeResponse } from '../../gen/carillon/v1/edge_pb.ts';
import { EdgeService } from '../../gen/carillon/v1/edge_pb.ts';
import { toldToStayAway } from './delays.ts';
import type { Device } from './history.ts';
import type { Chance } from './random.ts';
import type { Witness } from './witness.ts';

/** What the client says when it gave something up, rather than what the network did to it. */
const BAD = new Set([
  'ACKS_LOST',
  'INVALID_REQUEST',
  'LISTENER',
  'CURSOR_STORE',
  'OTHER_USER',
  'UNSUPPORTED',
]);

/** One in so many uses the client's own transport; thousands of `fetch` in one process look for a free connection among all. */
const ON_FETCH = 8;

const transportOf = ({ id }: Device, url: string): Transport =>
  id % ON_FETCH === 0 ? fetchTransport(url) : createConnectTransport({ baseUrl: url, httpVersion: '1.1' });

/** Tells of every stream that an edge gave or refused, and of every Ack that was answered. */
function watched(inner: Transport, url: string, witness: Witness): Transport {
  return {
    async unary(method, signal, timeoutMs, header, input, values) {
      const answer = await inner.unary(method, signal, timeoutMs, header, input, values);
      if (method === (EdgeService.method.ack as unknown)) {
        const { after = 0, upto = 0, extra = [] } = input as Partial<AckRequest>;
        witness.acked(after, upto, extra);
      }
      return answer;
    },
    async stream(method, signal, timeoutMs, header, input, values) {
      const arrived = witness.arriving(url);
      try {
        const answer = await inner.stream(method, signal, timeoutMs, header, input, values);
        return { ...answer, message: greeted(answer.message, arrived, witness) };
      } catch (error) {
        if (toldToStayAway(error) !== undefined) arrived();
        throw error;
      }
    },
  };
}

async function* greeted<T>(
  messages: AsyncIterable<T>,
  arrived: () => void,
  witness: Witness,
): AsyncIterable<T> {
  let said = false;
  try {
    for await (const message of messages) {
      const { frame } = message as Pick<SubscribeResponse, 'frame'>;
      if (!said) arrived();
      said = true;
      if (frame.case === 'hello') witness.hello();
      yield message;
    }
  } catch (error) {
    if (!said && toldToStayAway(error) !== undefined) arrived();
    throw error;
  }
}

export interface SdkOptions {
  urls: readonly string[];
  witness: Witness;
  chance: Chance;
  token: () => Promise<string>;
}

/** Holds one user's stream, for ever, on any of `urls`. */
export function playSdk(device: Device, { urls, witness, chance, token }: SdkOptions): void {
  const first = chance.between(0, urls.length);
  const client = new CarillonClient({
    url: [...urls.slice(first), ...urls.slice(0, first)],
    token,
    deviceId: `device-${device.id}`,
    mayRedirect: device.kind === 'sdk',
    transport: (url) => watched(transportOf(device, url), url, witness),
    random: () => chance.next(),
  });
  client.on('item', ({ seq, item }) => witness.seen(item.notificationId, seq));
  client.on('resync', ({ resume, reason }) => {
    if (reason !== 'NO_CURSOR') witness.surprise(`resync ${resume} ${reason}`);
  });
  client.on('error', ({ reason, message }) => {
    if (BAD.has(reason)) witness.surprise(`${reason} ${message}`);
  });
  client.on('state', (state) => {
    if (state === 'failed') witness.surprise('the client has failed');
  });
  client.start();
}
