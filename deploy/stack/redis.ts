// One Redis on loopback that keeps its data over a stop and a start.
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { limits } from '../../runtime/limits.ts';
import { type DebianProgram, findDebianProgram } from './debian-packages.ts';
import type { Service } from './service.ts';

const program: DebianProgram = {
  name: 'redis',
  title: 'Redis',
  command: 'redis-server',
  packages: ['redis-server', 'redis-tools'],
  path: 'usr/bin/redis-server',
};

export const redis: Service = {
  name: 'redis',
  stopSignal: 'TERM',

  async prepare(place, log) {
    const found = await findDebianProgram(program, log);
    const directory = join(place.directory, 'data');
    await mkdir(directory, { recursive: true });
    const settings = {
      port: String(place.port),
      bind: '127.0.0.1',
      dir: directory,
      appendonly: 'yes',
      save: '',
      daemonize: 'no',
    };
    return {
      command: found.command,
      args: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
      cwd: directory,
      env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC', LD_LIBRARY_PATH: found.libraryPath },
    };
  },

  async probe(place) {
    const socket = connect({ port: place.port, host: '127.0.0.1', timeout: limits.stackProbeMs });
    try {
      socket.on('timeout', () => socket.destroy(new Error('no answer')));
      await once(socket, 'connect');
      socket.write('PING\r\n');
      const [answer] = await once(socket, 'data');
      // While it still loads its file it answers -LOADING.
      if (!String(answer).startsWith('+PONG')) throw new Error(String(answer).trim());
    } finally {
      socket.destroy();
    }
  },

  address: async (place) => `redis://127.0.0.1:${place.port}`,
};
