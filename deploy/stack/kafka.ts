// One Apache Kafka broker, KRaft, its own controller, on loopback; set up for a small machine.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CarillonError } from '../../runtime/errors.ts';
import { limits } from '../../runtime/limits.ts';
import { findProgram } from './cache.ts';
import { kafkaJars } from './kafka-jars.ts';
import type { Place, Program, Service } from './service.ts';

const run = promisify(execFile);
const OLDEST_JAVA = 17;

// The first tier compiles a third faster at the start, and a test broker never gets warm; the serial collector has no threads of its own.
const JVM = [
  '-Xms128m',
  '-Xmx512m',
  '-XX:+UseSerialGC',
  '-XX:TieredStopAtLevel=1',
  '-Xshare:auto',
  '-Djava.awt.headless=true',
];

async function findJava(): Promise<string> {
  const home = process.env.JAVA_HOME;
  const java = home ? join(home, 'bin', 'java') : await findProgram('java');
  const said = java
    ? await run(java, ['-version']).then(
        (out) => out.stderr,
        () => '',
      )
    : '';
  const version = Number(/version "(\d+)/.exec(said)?.[1] ?? 0);
  if (java && version >= OLDEST_JAVA) return java;
  const found = version > 0 ? `the one found is Java ${version}` : 'none was found on PATH or in JAVA_HOME';
  throw new CarillonError(
    'STACK_UNAVAILABLE',
    `Apache Kafka needs Java ${OLDEST_JAVA} or newer, and ${found}: install it (Debian: apt-get install openjdk-17-jre-headless).`,
  );
}

const properties = (place: Place): string => {
  const broker = `127.0.0.1:${place.port}`;
  const controller = `127.0.0.1:${place.innerPort}`;
  const settings: Record<string, string | number | boolean> = {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.bootstrap.servers': controller,
    listeners: `PLAINTEXT://${broker},CONTROLLER://${controller}`,
    'advertised.listeners': `PLAINTEXT://${broker}`,
    'controller.listener.names': 'CONTROLLER',
    'log.dirs': join(place.directory, 'data'),
    'auto.create.topics.enable': false,
    'num.partitions': 4,
    'default.replication.factor': 1,
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 4,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 4,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'share.coordinator.state.topic.num.partitions': 4,
    // A group need not wait for members that might still come, and a test may want a member to be missed soon.
    'group.initial.rebalance.delay.ms': 0,
    'group.min.session.timeout.ms': 1000,
    // After a kill the controller lets the broker in again when the old session has run out: 11.6 s with the default of 9 s.
    'broker.session.timeout.ms': 2000,
    'broker.heartbeat.interval.ms': 500,
    'num.network.threads': 2,
    'num.io.threads': 2,
    'background.threads': 2,
    'num.recovery.threads.per.data.dir': 1,
    'log.cleaner.threads': 1,
    'log.cleaner.dedupe.buffer.size': 4_194_304,
    'log.index.size.max.bytes': 1_048_576,
  };
  return `${Object.entries(settings)
    .map(([name, value]) => `${name}=${value}`)
    .join('\n')}\n`;
};

// Metadata v1 about no topic: size 14, key 3, version 1, correlation 1, no client id, an empty list.
const METADATA_REQUEST = Buffer.from('0000000e0003000100000001ffff00000000', 'hex');
// After the size and the correlation comes how many brokers there are.
const BROKERS_AT = 8;

const LOGGING = `status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
`;

export const kafka: Service = {
  name: 'kafka',
  stopSignal: 'TERM',

  async prepare(place: Place, log): Promise<Program> {
    const [java, jars] = await Promise.all([findJava(), kafkaJars(log)]);
    await mkdir(place.directory, { recursive: true });
    const config = join(place.directory, 'server.properties');
    const logging = join(place.directory, 'log4j2.properties');
    await writeFile(config, properties(place));
    await writeFile(logging, LOGGING);
    const jvm = [...JVM, `-Dlog4j2.configurationFile=${logging}`, '-cp', join(jars.directory, '*')];
    const env = { PATH: process.env.PATH, HOME: process.env.HOME, LC_ALL: 'C.UTF-8', TZ: 'UTC' };
    const data = join(place.directory, 'data');
    const formatted = join(place.directory, 'formatted');
    if (
      !(await access(formatted).then(
        () => true,
        () => false,
      ))
    ) {
      log(`kafka: formatting ${data} for Apache Kafka ${jars.version}`);
      await rm(data, { recursive: true, force: true });
      const tool = [...jvm, 'kafka.tools.StorageTool'];
      const { stdout } = await run(java, [...tool, 'random-uuid'], { env, cwd: place.directory });
      await run(java, [...tool, 'format', '--standalone', '-t', stdout.trim(), '-c', config], {
        env,
        cwd: place.directory,
      });
      await writeFile(formatted, stdout);
    }
    return { command: java, args: [...jvm, 'kafka.Kafka', config], cwd: place.directory, env };
  },

  async probe(place) {
    const socket = connect({ port: place.port, host: '127.0.0.1', timeout: limits.stackProbeMs });
    try {
      socket.on('timeout', () => socket.destroy(new Error('no answer')));
      await once(socket, 'connect');
      socket.write(METADATA_REQUEST);
      let answer = Buffer.alloc(0);
      for await (const chunk of socket) {
        answer = Buffer.concat([answer, chunk]);
        if (answer.length >= BROKERS_AT + 4) break;
      }
      if (answer.length < BROKERS_AT + 4) throw new Error('the connection closed without an answer');
      // The list is empty until the broker is registered with its own controller.
      if (answer.readInt32BE(BROKERS_AT) < 1) throw new Error('the broker is not registered yet');
    } finally {
      socket.destroy();
    }
  },

  address: async (place) => `127.0.0.1:${place.port}`,
};
