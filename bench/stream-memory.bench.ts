// G4: what an idle stream costs the server's memory, with its session, cursor and presence, and after 100 messages.
import { type Bench, type BenchContext, median, type Row } from './bench.ts';
import { Arena, type Usage } from './fan-out/arena.ts';
import type { ClientKind, ServerKind } from './fan-out/messages.ts';

const STREAMS = 5_000;
/** Opened before the first look, so that what every server needs once is not counted: code, pools, V8's young generation (32 MiB). */
const FIRST_STREAMS = 2_000;
const MESSAGES = 100;
/** A process is new for each round: three are enough, since memory repeats better than time. */
const ROUNDS = 3;

interface Cost {
  idle: number;
  after: number;
}

interface Subject {
  server: ServerKind;
  clients: ClientKind;
}

/**
 * KiB per stream: what the process has grown by, idle, and after each stream has got `messages`. When the heap in use has grown
 * by more, that counts: then the streams lie in memory that the warm-up has left.
 */
async function cost({ server, clients }: Subject, messages: number, signal: AbortSignal): Promise<Cost> {
  using arena = await Arena.start(server, clients, signal);
  await arena.open(FIRST_STREAMS);
  await arena.tick();
  const before = await arena.usage(true);
  await arena.open(STREAMS);
  const idle = await arena.usage(true);
  for (let message = 0; message < messages; message++) await arena.tick();
  const after = await arena.usage(true);
  const grown = (from: Usage, to: Usage, streams: number) =>
    Math.max(to.rssBytes - from.rssBytes, to.heapBytes - from.heapBytes) / streams / 1_024;
  const each = grown(before, idle, STREAMS);
  // The messages went to the first streams, too.
  return { idle: each, after: each + grown(idle, after, FIRST_STREAMS + STREAMS) };
}

async function measured(
  subject: Subject,
  messages: number,
  { progress, signal }: BenchContext,
): Promise<Cost> {
  const found: Cost[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const one = await cost(subject, messages, signal);
    const later = messages > 0 ? `, ${one.after.toFixed(1)} after ${messages} messages` : '';
    progress(`${subject.server} over ${subject.clients}: ${one.idle.toFixed(1)} KiB idle${later}`);
    found.push(one);
  }
  return { idle: median(found.map(({ idle }) => idle)), after: median(found.map(({ after }) => after)) };
}

async function run(context: BenchContext): Promise<Row[]> {
  const [http1, http2] = [
    await measured({ server: 'ours', clients: 'http1' }, MESSAGES, context),
    await measured({ server: 'ours', clients: 'http2' }, MESSAGES, context),
  ];
  const bound = (name: string, ours: number, most: number): Row => ({
    goal: 'G4',
    name,
    ours,
    other: most,
    unit: 'KiB/stream',
    ratio: most / ours,
    target: 1,
    ok: ours <= most,
  });
  const rows = [
    bound('idle over HTTP/1.1, against 8 KiB', http1.idle, 8),
    bound('idle over HTTP/2, against 30 KiB', http2.idle, 30),
    bound(`HTTP/1.1 after ${MESSAGES} messages, against 1.2 × idle`, http1.after, 1.2 * http1.idle),
    bound(`HTTP/2 after ${MESSAGES} messages, against 1.2 × idle`, http2.after, 1.2 * http2.idle),
  ];
  const others: Subject[] = [
    { server: 'node-net', clients: 'http1' },
    { server: 'ws', clients: 'ws' },
    { server: 'socket-io', clients: 'socket-io' },
    { server: 'connect-node', clients: 'http1' },
  ];
  for (const subject of others) {
    const { idle } = await measured(subject, 0, context);
    // No goal but G4's own: where it stands.
    rows.push({
      ...bound(`idle over HTTP/1.1, against ${subject.server}`, http1.idle, idle),
      target: 0,
      ok: true,
    });
  }
  return rows;
}

export const bench: Bench = {
  name: 'stream-memory',
  goals: ['G4'],
  about: `resident memory per stream, ${STREAMS} streams with a connection each, after a collection of garbage; ours with session, cursor and presence.`,
  run,
};
