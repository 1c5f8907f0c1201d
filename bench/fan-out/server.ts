// A process with one server in it, driven by its parent; what it uses of the CPU is what is measured.
import { setImmediate } from 'node:timers/promises';
import type { FromServer, ServerKind, ToServer } from './messages.ts';
import { serveConnectNode } from './server-connect-node.ts';
import { serveNodeHttp2 } from './server-node-http2.ts';
import { serveNodeNet } from './server-node-net.ts';
import { serveOurs } from './server-ours.ts';
import { serveSocketIo } from './server-socket-io.ts';
import { serveWs } from './server-ws.ts';
import type { FanOutServer } from './servers.ts';

const [kind, protocol] = process.argv.slice(2);

const servers: Record<ServerKind, () => Promise<FanOutServer>> = {
  ours: serveOurs,
  'node-net': serveNodeNet,
  'node-http2': serveNodeHttp2,
  'connect-node': () => serveConnectNode(protocol === 'http2'),
  'socket-io': serveSocketIo,
  ws: serveWs,
};

/** Streams that a server writes to in one turn, at least. */
const TURN_STREAMS = 50;

const say = (message: FromServer): void => void process.send?.(message);

const server = await servers[kind as ServerKind]();
process.on('message', async (message: ToServer) => {
  if (message.do === 'tick') {
    await server.tick();
    // What a server puts off to later turns of the loop is part of the tick.
    for (let turn = server.streams() / TURN_STREAMS + 2; turn > 0; turn--) await setImmediate();
    say({ said: 'ticked' });
  } else if (message.do === 'size') server.size?.(message.bytes);
  else {
    if (message.collect) globalThis.gc?.();
    const { user, system } = process.cpuUsage();
    say({
      said: 'usage',
      cpuUs: user + system,
      rssBytes: process.memoryUsage.rss(),
      streams: server.streams(),
    });
  }
});
process.on('disconnect', () => process.exit());
say({ said: 'listening', port: server.port });
