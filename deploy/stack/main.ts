// `npm run stack`: real PostgreSQL, Apache Kafka and Redis on loopback, without Docker and without root.
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { CarillonError } from '../../runtime/errors.ts';
import { writeLock } from './kafka-jars.ts';
import { type ServiceName, serviceNames } from './service.ts';
import { stackControl, stackDown, stackStatus, stackUp } from './stack.ts';

const USAGE = `usage: npm run stack -- COMMAND [--dir DIR]

  up [--json]                 starts what is not up, waits until each answers, prints the three CARILLON_* lines
     [--postgres-port N] [--kafka-port N] [--redis-port N]      instead of free ports
  status [--json]             says for each whether it is up, with its pid; exit 1 unless all are
  stop|start|kill [NAME...]   postgres, kafka, redis (default: all); port and data stay
  down                        ends what up started, and removes its data
  lock [VERSION]              writes deploy/stack/kafka.lock.json anew from what Maven gives

The state lies in --dir (default .carillon/stack in the project), fetched programs in CARILLON_CACHE_DIR (default ~/.cache/carillon).
Example: npm run --silent stack -- up > .carillon/stack.env
`;

class UsageError extends Error {}

const note = (line: string) => process.stderr.write(`${line}\n`);
const say = (line: string) => process.stdout.write(`${line}\n`);

const portOf = (text: string | undefined): number | undefined => {
  if (text === undefined) return undefined;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new UsageError(`${text} is not a port`);
  return port;
};

const isServiceName = (name: string): name is ServiceName => serviceNames.some((known) => known === name);

function servicesOf(names: string[]): readonly ServiceName[] {
  if (names.length === 0) return serviceNames;
  return names.map((name) => {
    if (!isServiceName(name)) throw new UsageError(`there is no service ${name}: ${serviceNames.join(', ')}`);
    return name;
  });
}

function parse() {
  try {
    const text = { type: 'string' } as const;
    const flag = { type: 'boolean' } as const;
    return parseArgs({
      allowPositionals: true,
      options: {
        dir: text,
        json: flag,
        help: flag,
        'postgres-port': text,
        'kafka-port': text,
        'redis-port': text,
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

async function up(
  directory: string,
  json: boolean,
  ports: Record<ServiceName, number | undefined>,
): Promise<number> {
  const found = await stackUp(directory, { lifetime: 'detached', ports, log: note });
  const lines = {
    CARILLON_POSTGRES_URL: found.postgresUrl,
    CARILLON_KAFKA_BROKERS: found.kafkaBrokers,
    CARILLON_REDIS_URL: found.redisUrl,
  };
  if (json) say(JSON.stringify(lines));
  else for (const [name, value] of Object.entries(lines)) say(`${name}=${value}`);
  return 0;
}

async function status(directory: string, json: boolean): Promise<number> {
  const services = await stackStatus(directory);
  if (json) say(JSON.stringify({ services: services ?? [] }));
  else if (!services) say(`no stack in ${directory}`);
  else
    for (const { name, up, port, pid } of services)
      say(up ? `${name} up pid ${pid} port ${port}` : `${name} down`);
  return services?.every((service) => service.up) ? 0 : 1;
}

async function main(): Promise<number> {
  const { values, positionals } = parse();
  const [command, ...names] = positionals;
  if (values.help) {
    say(USAGE);
    return 0;
  }
  const directory = resolve(values.dir ?? resolve(import.meta.dirname, '../../.carillon/stack'));
  const json = values.json ?? false;
  switch (command) {
    case 'up':
      return await up(directory, json, {
        postgres: portOf(values['postgres-port']),
        kafka: portOf(values['kafka-port']),
        redis: portOf(values['redis-port']),
      });
    case 'status':
      return await status(directory, json);
    case 'down':
      note((await stackDown(directory)) ? 'down' : `no stack in ${directory}`);
      return 0;
    case 'start':
    case 'stop':
    case 'kill':
      if (await stackControl(directory, command, servicesOf(names), { lifetime: 'detached', log: note }))
        return 0;
      throw new CarillonError(
        'STACK_UNAVAILABLE',
        `There is no stack in ${directory}: npm run stack -- up makes one.`,
      );
    case 'lock':
      await writeLock(names[0], note);
      return 0;
    default:
      throw new UsageError(command ? `there is no command ${command}` : 'a command is missing');
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  const usage = error instanceof UsageError;
  const said = error instanceof Error ? error.message : String(error);
  note(
    usage
      ? `${said}\n\n${USAGE}`
      : `stack: ${said}${error instanceof CarillonError ? ` [${error.reason}]` : ''}`,
  );
  process.exitCode = usage ? 2 : 1;
}
