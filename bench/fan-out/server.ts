// A process with one server in it, driven by its parent; what it uses of the CPU is what is measured.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';
import { systemClock } from '../../runtime/clock.ts';
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
/** The loop's delay is looked at so often; it is known once a timer ran before and after. */
const LOOK_MS = 1;
const SETTLED_MS = 5;

const say = (message: FromServer): void => void process.send?.(message);
const delay = monitorEventLoopDelay({ resolution: LOOK_MS });

const server = await servers[kind as ServerKind]();

async function tick({ load, watch }: Extract<ToServer, { do: 'tick' }>): Promise<void> {
  delay.reset();
  if (watch) {
    delay.enable();
    await systemClock.sleep(SETTLED_MS);
  }
  const startMs = systemClock.now();
  await server.send(load);
  // What a server puts off to later turns of the loop is part of the tick.
  for (let turn = server.streams() / TURN_STREAMS + 2; turn > 0; turn--) await setImmediate();
  if (watch) await systemClock.sleep(SETTLED_MS);
  delay.disable();
  say({ said: 'ticked', startMs, stallMs: watch ? delay.max / 1e6 - LOOK_MS : 0 });
}

process.on('message', async (message: ToServer) => {
  if (message.do === 'tick') await tick(message);
  else if (message.do === 'size') server.size?.(message.bytes);
  else {
    if (message.collect) globalThis.gc?.();
    const { user, system } = process.cpuUsage();
    const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
    say({
      said: 'usage',
      cpuUs: user + system,
      rssBytes: rss,
      heapBytes: heapUsed + arrayBuffers,
      streams: server.streams(),
    });
  }
});
process.on('disconnect', () => process.exit());
say({ said: 'listening', port: server.port });
