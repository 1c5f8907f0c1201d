// The library that people take: a generator per stream on connect-node, over HTTP/1.1 and HTTP/2, woken by each message.
import { createServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { EdgeService, type SubscribeResponseSchema } from '../../gen/carillon/v1/edge_pb.ts';
import { deliverOf } from './item.ts';
import { type FanOutServer, listenOnFreePort } from './servers.ts';

type Frame = MessageInitShape<typeof SubscribeResponseSchema>;

export async function serveConnectNode(http2: boolean): Promise<FanOutServer> {
  const wake = new Set<(frame: Frame) => void>();
  let seq = 0;
  let open = 0;
  const handler = connectNodeAdapter({
    routes: (router) =>
      router.service(EdgeService, {
        async *subscribe(_request, { signal }) {
          const queue: Frame[] = [];
          let waiting: (() => void) | undefined;
          const take = (frame: Frame) => {
            queue.push(frame);
            waiting?.();
          };
          wake.add(take);
          // Without a first message connect-node sends no headers.
          yield { frame: { case: 'hello', value: { sessionId: 'bench' } } } satisfies Frame;
          open += 1;
          try {
            while (!signal.aborted) {
              for (let frame = queue.shift(); frame; frame = queue.shift()) yield frame;
              await new Promise<void>((resolve) => {
                waiting = resolve;
              });
            }
          } finally {
            open -= 1;
            wake.delete(take);
          }
        },
      }),
  });
  const server = http2 ? createHttp2Server(handler) : createServer(handler);
  return {
    port: await listenOnFreePort(server),
    streams: () => open,
    tick: () => {
      seq += 1;
      const frame: Frame = { frame: { case: 'deliver', value: deliverOf(seq) } };
      for (const take of wake) take(frame);
    },
  };
}
