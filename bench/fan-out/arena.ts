// One server in a process of its own with its clients in another, driven through a fan-out step by step.
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { systemClock } from '../../runtime/clock.ts';
import type { ClientKind, FromClient, FromServer, ServerKind, ToClient, ToServer } from './messages.ts';

export interface Usage {
  readonly cpuUs: number;
  readonly rssBytes: number;
  readonly streams: number;
}

/** Opening 10,000 streams on the dearest server takes 10 s on a quiet machine. */
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

  /** Opens `count` streams, one connection each, and waits until the server has them all. */
  async open(count: number): Promise<void> {
    const opened = heard<FromClient, 'opened'>(this.#clients, 'opened');
    this.#ask({
      do: 'open',
      kind: this.#protocol,
      port: this.#port,
      from: this.#streams,
      count,
      checkOrder: this.#kind === 'ours',
    });
    await opened;
    this.#streams += count;
    for (let usage = await this.usage(); usage.streams < this.#streams; ) usage = await this.usage();
  }

  /** What the server has used; `collect`: after a collection of garbage, for its memory's sake. */
  usage(collect = false): Promise<Usage> {
    const usage = heard<FromServer, 'usage'>(this.#server, 'usage');
    this.#tell({ do: 'usage', collect });
    return usage;
  }

  /**
   * One message to every stream, received by all; bytes of one on the wire. The clients stand still while the server
   * writes: on loopback their waking up, which depends on which side is ahead, would be charged to the server.
   */
  async tick(): Promise<number> {
    this.#sent += this.#streams;
    const reached = heard<FromClient, 'reached'>(this.#clients, 'reached');
    this.#ask({ do: 'expect', messages: this.#sent });
    const ticked = heard<FromServer, 'ticked'>(this.#server, 'ticked');
    this.#clients.kill('SIGSTOP');
    this.#tell({ do: 'tick' });
    await ticked;
    this.#clients.kill('SIGCONT');
    const { bytes } = await reached;
    const each = (bytes - this.#bytes) / this.#streams;
    this.#bytes = bytes;
    return each;
  }

  size(bytes: number): void {
    this.#tell({ do: 'size', bytes });
  }

  /**
   * CPU of the server, µs a message, over `ticks` messages to every stream, each received by all before the next.
   * One more goes before them and is not counted, since whatever ran in between has emptied the caches.
   */
  async cpuUsPerMessage(ticks: number): Promise<number> {
    await this.tick();
    const before = await this.usage();
    for (let tick = 0; tick < ticks; tick++) await this.tick();
    const after = await this.usage();
    return (after.cpuUs - before.cpuUs) / (ticks * this.#streams);
  }

  [Symbol.dispose](): void {
    this.#clients.kill('SIGKILL');
    this.#server.kill('SIGKILL');
  }
}
