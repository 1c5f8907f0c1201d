// One server in a process of its own with its clients in another, driven through a fan-out step by step.
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { formatCursor } from '../../edge/cursor.ts';
import { systemClock } from '../../runtime/clock.ts';
import { EPOCH } from './epoch.ts';
import {
  type ClientKind,
  type FromClient,
  type FromServer,
  type Load,
  messagesOf,
  type ServerKind,
  type ToClient,
  type ToServer,
} from './messages.ts';

export interface Usage {
  readonly cpuUs: number;
  readonly rssBytes: number;
  readonly heapBytes: number;
  readonly streams: number;
}

/** How long messages were under way, and how long the server's loop stood still. */
export interface Timing {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly stallMs: number;
}

export interface Opening {
  /** From the first connection to the first message on the last stream. */
  readonly ms: number;
  readonly cpuUsPerStream: number;
}

/** Opening 18,000 streams on the dearest server takes 20 s on a quiet machine. */
const ANSWER_MS = 120_000;
const here = import.meta.dirname;

function start(file: string, args: readonly string[], signal: AbortSignal): ChildProcess {
  const child = fork(join(here, file), args, {
    execArgv: ['--expose-gc'],
    signal,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  child.on('error', () => undefined);
  return child;
}

/** The next message of the child that says `said`; rejects when it ends or says that it failed. */
function heard<M extends FromServer | FromClient, S extends M['said']>(child: ChildProcess, said: S) {
  return new Promise<Extract<M, { said: S }>>((resolve, reject) => {
    const timer = systemClock.after(ANSWER_MS, () => {
      done();
      reject(new Error(`nobody said "${said}" for ${ANSWER_MS / 1_000} s`));
    });
    const done = () => {
      timer[Symbol.dispose]();
      child.off('message', onMessage).off('exit', onExit);
    };
    const onMessage = (message: FromServer | FromClient) => {
      if (message.said === said) resolve(message as Extract<M, { said: S }>);
      else if (message.said === 'failed') reject(new Error(`a client failed: ${message.why}`));
      else return;
      done();
    };
    const onExit = (code: number | null) => {
      done();
      reject(new Error(`a process of the benchmark ended: ${code}`));
    };
    child.on('message', onMessage).once('exit', onExit);
  });
}

export class Arena implements Disposable {
  readonly #server: ChildProcess;
  readonly #clients: ChildProcess;
  readonly #kind: ServerKind;
  readonly #protocol: ClientKind;
  #streams = 0;
  /** Messages that each stream was sent. */
  #seq = 0;
  #sent = 0;
  #bytes = 0;
  #port = 0;

  private constructor(kind: ServerKind, protocol: ClientKind, signal: AbortSignal) {
    this.#server = start('server.ts', [kind, protocol], signal);
    this.#clients = start('client.ts', [], signal);
    this.#kind = kind;
    this.#protocol = protocol;
  }

  static async start(kind: ServerKind, protocol: ClientKind, signal: AbortSignal): Promise<Arena> {
    const arena = new Arena(kind, protocol, signal);
    arena.#port = (await heard<FromServer, 'listening'>(arena.#server, 'listening')).port;
    return arena;
  }

  #tell(message: ToServer): void {
    this.#server.send(message);
  }

  #ask(message: ToClient): void {
    this.#clients.send(message);
  }

  /** Opens `count` more streams, one connection each, `parallel` at a time, and waits until each has had its first message. */
  async open(count: number, { parallel = 64, resume = false } = {}): Promise<Opening> {
    const before = await this.usage();
    const opened = heard<FromClient, 'opened'>(this.#clients, 'opened');
    const cursor = formatCursor({ epoch: EPOCH, seq: this.#seq, timeMs: systemClock.now() });
    this.#ask({
      do: 'open',
      kind: this.#protocol,
      port: this.#port,
      from: this.#streams,
      count,
      parallel,
      cursor: resume ? cursor : undefined,
      checkOrder: this.#kind === 'ours',
    });
    const { ms } = await opened;
    const { cpuUs } = await this.usage();
    this.#streams += count;
    await this.#until(this.#streams);
    return { ms, cpuUsPerStream: (cpuUs - before.cpuUs) / count };
  }

  /** Cuts all streams at once, without a word, and waits until the server knows. */
  async drop(): Promise<void> {
    const dropped = heard<FromClient, 'dropped'>(this.#clients, 'dropped');
    this.#ask({ do: 'drop' });
    await dropped;
    this.#streams = 0;
    await this.#until(0);
  }

  async #until(streams: number): Promise<void> {
    for (let usage = await this.usage(); usage.streams !== streams; ) {
      await systemClock.sleep(10);
      usage = await this.usage();
    }
  }

  /** What the server has used; `collect`: after a collection of garbage, for its memory's sake. */
  usage(collect = false): Promise<Usage> {
    const usage = heard<FromServer, 'usage'>(this.#server, 'usage');
    this.#tell({ do: 'usage', collect });
    return usage;
  }

  #expect(load: Load, times: boolean): Promise<Extract<FromClient, { said: 'reached' }>> {
    this.#seq += messagesOf(load);
    this.#sent += this.#streams * messagesOf(load);
    const reached = heard<FromClient, 'reached'>(this.#clients, 'reached');
    this.#ask({ do: 'expect', messages: this.#sent, times });
    return reached;
  }

  /**
   * One load to every stream, received by all; bytes of one message on the wire. The clients stand still while the server
   * writes: on loopback their waking up, which depends on which side is ahead, would be charged to the server.
   */
  async tick(load: Load = 'same'): Promise<number> {
    const reached = this.#expect(load, false);
    const ticked = heard<FromServer, 'ticked'>(this.#server, 'ticked');
    this.#clients.kill('SIGSTOP');
    this.#tell({ do: 'tick', load, watch: false });
    await ticked;
    this.#clients.kill('SIGCONT');
    const { bytes } = await reached;
    const each = (bytes - this.#bytes) / (this.#streams * messagesOf(load));
    this.#bytes = bytes;
    return each;
  }

  /** One message to every stream, with the clients reading as it comes: from the tick's start until each has it. */
  async timedTick(): Promise<Timing> {
    const reached = this.#expect('same', true);
    const ticked = heard<FromServer, 'ticked'>(this.#server, 'ticked');
    this.#tell({ do: 'tick', load: 'same', watch: true });
    const [{ startMs, stallMs }, { bytes, times }] = await Promise.all([ticked, reached]);
    this.#bytes = bytes;
    const after = (share: number): number => {
      let left = share * this.#streams;
      for (const { atMs, messages } of times) {
        left -= messages;
        if (left <= 0) return atMs - startMs;
      }
      throw new Error('messages are missing');
    };
    return { p50Ms: after(0.5), p99Ms: after(0.99), stallMs };
  }

  size(bytes: number): void {
    this.#tell({ do: 'size', bytes });
  }

  /**
   * CPU of the server, µs a message, over `ticks` loads to every stream, each received by all before the next.
   * One more goes before them and is not counted, since whatever ran in between has emptied the caches.
   */
  async cpuUsPerMessage(ticks: number, load: Load = 'same'): Promise<number> {
    await this.tick(load);
    const before = await this.usage();
    for (let tick = 0; tick < ticks; tick++) await this.tick(load);
    const after = await this.usage();
    return (after.cpuUs - before.cpuUs) / (ticks * this.#streams * messagesOf(load));
  }

  [Symbol.dispose](): void {
    this.#clients.kill('SIGKILL');
    this.#server.kill('SIGKILL');
  }
}
