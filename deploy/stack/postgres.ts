// A PostgreSQL over TCP from the binaries of the embedded default, as a process that lives by itself.
import { dirname, join } from 'node:path';
import pg from 'pg';
import { limits } from '../../runtime/limits.ts';
import {
  makeDataDirectory,
  openCluster,
  serverArguments,
  serverEnvironment,
  socketDirectory,
  tcpPassword,
} from '../../storage/embedded-cluster.ts';
import { prepareDatabase } from '../../storage/embedded-postgres.ts';
import type { Place, Service } from './service.ts';

async function address(place: Place): Promise<string> {
  return `postgres://carillon:${await tcpPassword(place.directory)}@127.0.0.1:${place.port}/carillon?sslmode=disable`;
}

export const postgres: Service = {
  name: 'postgres',
  stopSignal: 'INT',

  async prepare(place) {
    await makeDataDirectory(dirname(place.directory));
    await makeDataDirectory(place.directory);
    const cluster = await openCluster(place.directory);
    return {
      command: join(cluster.native.directory, 'bin', 'postgres'),
      // Several processes of each role, each with its own pool.
      args: [...serverArguments(cluster, place.port, true), '-c', 'max_connections=200'],
      cwd: cluster.pgdata,
      env: serverEnvironment,
      account: cluster.account,
    };
  },

  async probe(place) {
    // Over the socket first: the password that TCP asks for is set there.
    await using socket = await socketDirectory(join(place.directory, 'pgdata'), place.port);
    await prepareDatabase(socket.path, place.port, await tcpPassword(place.directory));
    const client = new pg.Client({
      connectionString: await address(place),
      connectionTimeoutMillis: limits.stackProbeMs,
    });
    client.on('error', () => undefined);
    await client.connect();
    try {
      await client.query('SELECT 1');
    } finally {
      await client.end();
    }
  },

  address,
};
