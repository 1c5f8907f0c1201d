// The library that people take: a generator per stream on connect-node, over HTTP/1.1 and HTTP/2, woken by each message.
import { createServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { EdgeService, type SubscribeResponseSchema } from '../../gen/carillon/v1/edge_pb.ts';
import { deliverOf, differentOf } from './item.ts';
import { messagesOf } from './messages.ts';
import { type FanOutServer, listenOnFreePort } from './servers.ts';
import { bearerOf } from './tokens.ts';

type Frame = MessageInitShape<typeof SubscribeResponseSchema>;

export async function serveConnectNode(http2: boolean): Promise<FanOutServer> {
  const wake = new Set<(frame: Frame) => void>();
  let seq = 0;
  const handler = connectNodeAdapter({
    routes: (router) =>
      router.service(EdgeService, {
        async *subscribe({ cursor = '' }, { signal, requestHeader }) {
          const userId = await bearerOf(requestHeader.get('authorization')).catch((cause: unknown) => {
            throw new ConnectError('who is it', Code.Unauthenticated, undefined, undefined, cause);
          });
          const queue: Frame[] = [];
          let waiting: (() => void) | undefined;
          const take = (frame: Frame) => {
            queue.push(frame);
            waiting?.();
          };
          // Without a first message connect-node sends no headers.
          yield { frame: { case: 'hello', value: { sessionId: userId, cursor } } } satisfies Frame;
          wake.add(take);
          signal.addEventListener('abort', () => waiting?.());
          try {
            while (!signal.aborted) {
              for (let frame = queue.shift(); frame; frame = queue.shift()) yield frame;
              await new Promise<void>((resolve) => {
                waiting = resolve;
              });
            }
          } finally {
            wake.delete(take);
          }
        },
      }),
  });
  const server = http2 ? createHttp2Server(handler) : createServer(handler);
  return {
    port: await listenOnFreePort(server),
    streams: () => wake.size,
    send(load) {
      for (let message = 0; message < messagesOf(load); message++) {
        seq += 1;
        const frame: Frame = { frame: { case: 'deliver', value: deliverOf(seq) } };
        let stream = 0;
        for (const take of wake)
          take(
            load === 'different' ? { frame: { case: 'deliver', value: differentOf(seq, stream++) } } : frame,
          );
      }
    },
  };
}
