// The edge's end of a link: batches in, what became of them out, and what edges have to say to one another, both ways.
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { HandlerContext } from '@connectrpc/connect';
import type { Changed, EdgePort, RouterPeer, Signal, SignalOutcome } from '../cluster/edge-link.ts';
import { SignalCalls } from '../cluster/signal-calls.ts';
import {
  type DeliverRequest,
  type DeliverResponse,
  DeliverResponseSchema,
  EdgeLinkService,
} from '../gen/carillon/v1/edge_link_pb.ts';
import type { Authenticator } from '../runtime/authenticator.ts';
import type { Clock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import { type Mount, mount } from '../runtime/mount.ts';

type Answer = MessageInitShape<typeof DeliverResponseSchema>;

/** What waits to go to the router: answers in order, changes of one user joined, the newest view. */
class LinkOutput implements RouterPeer {
  readonly #edge: EdgePort;
  readonly #signals: SignalCalls;
  readonly #answers: Answer[] = [];
  readonly #changed = new Map<string, Changed>();
  #leaving: Signal[] = [];
  /** The view that the router was told. */
  #told = '';
  #wake: (() => void) | undefined;
  #room: (() => void) | undefined;
  #closed = false;

  constructor(edge: EdgePort, clock: Clock) {
    this.#edge = edge;
    this.#signals = new SignalCalls(clock, (signal) => {
      if (this.#closed) return false;
      this.#leaving.push(signal);
      this.#wake?.();
      return true;
    });
  }

  answer(answer: Answer): void {
    this.#answers.push(answer);
    this.#wake?.();
  }

  /** Past their bound the heartbeat tells the edges. */
  changed(users: readonly Changed[]): void {
    for (const user of users) {
      const key = `${user.tenant}\0${user.userId}`;
      const known = this.#changed.get(key);
      if (!known && this.#changed.size >= limits.linkChangedCount) break;
      if (!known || known.head < user.head) this.#changed.set(key, user);
    }
    this.#wake?.();
  }

  signal(signal: Signal): Promise<SignalOutcome> {
    return this.#signals.call(signal);
  }

  viewed(): void {
    this.#wake?.();
  }

  signalled(results: DeliverRequest['signalResults']): void {
    this.#signals.answered(results);
  }

  close(): void {
    this.#closed = true;
    this.#signals.broken();
    this.#wake?.();
    this.#room?.();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Resolves when fewer than `limits.linkBatchesCount` answers wait: the router is read no faster than it reads. */
  async room(): Promise<void> {
    while (!this.#closed && this.#answers.length >= limits.linkBatchesCount)
      await new Promise<void>((resolve) => {
        this.#room = resolve;
      });
  }

  #takeChanged(): Changed[] {
    const taken: Changed[] = [];
    for (const [key, changed] of this.#changed) {
      if (taken.length >= limits.linkMailCount) break;
      taken.push(changed);
      this.#changed.delete(key);
    }
    return taken;
  }

  /** Undefined when there is nothing to say. */
  #next(): DeliverResponse | undefined {
    const answer = this.#answers.shift();
    const changed = this.#takeChanged();
    const signals = this.#leaving.splice(0, limits.linkMailCount);
    const { view } = this.#edge;
    if (!answer && changed.length + signals.length === 0 && view === this.#told) return undefined;
    this.#told = view;
    if (answer) this.#room?.();
    return create(DeliverResponseSchema, { ...answer, changed, signals, view });
  }

  /** Answers until closed; what was answered before the end still goes out. */
  async *read(): AsyncGenerator<DeliverResponse> {
    for (;;) {
      const next = this.#next();
      if (next) yield next;
      else if (this.#closed) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}

async function handle(edge: EdgePort, request: DeliverRequest, output: LinkOutput): Promise<void> {
  const { batch, items, targets, changed, signals, signalResults, presenceOf } = request;
  if (changed.length > 0) edge.changed(changed);
  if (signalResults.length > 0) output.signalled(signalResults);
  const results = targets.length > 0 ? await edge.deliver(items, targets) : [];
  const done = signals.length > 0 ? edge.signal(signals) : [];
  const presences = presenceOf.length > 0 ? edge.held(presenceOf) : [];
  if (batch > 0 || done.length > 0) output.answer({ batch, results, presences, signalResults: done });
}

/** The first request says which process the router means. Throws EDGE_REPLACED when that is another one. */
async function greeted(
  edge: EdgePort,
  requests: AsyncIterator<DeliverRequest>,
  signal: AbortSignal,
  clock: Clock,
): Promise<DeliverRequest | undefined> {
  const given = new AbortController();
  const late = clock.sleep(limits.linkGreetingMs, AbortSignal.any([given.signal, signal]));
  const first = await Promise.race([requests.next(), late]).finally(() => given.abort());
  if (signal.aborted) return undefined;
  if (!first) throw new CarillonError('DEADLINE_EXCEEDED', 'The first request of the link did not come.');
  if (first.done) return undefined;
  const { incarnation } = first.value;
  if (incarnation === edge.incarnation) return first.value;
  throw new CarillonError(
    'EDGE_REPLACED',
    `This is ${edge.node} (${edge.incarnation}), not the process that the link is for (${incarnation.slice(0, 64) || 'none named'}).`,
  );
}

export interface LinkServerOptions {
  edge: EdgePort;
  clock: Clock;
  log: Log;
}

export interface LinkMountOptions extends LinkServerOptions {
  /** Says which process of the mesh it is that opens a link. */
  authenticator: Authenticator;
}

/** Serves one stream per router until the router, or the port, ends it. */
export async function* serveLink(
  { edge, clock, log }: LinkServerOptions,
  requests: AsyncIterable<DeliverRequest>,
  { signal }: Pick<HandlerContext, 'signal'>,
): AsyncGenerator<DeliverResponse> {
  const incoming = requests[Symbol.asyncIterator]();
  let request = await greeted(edge, incoming, signal, clock);
  if (!request) return;
  const output = new LinkOutput(edge, clock);
  output.answer({ credits: limits.linkCreditsCount });
  const detach = edge.attach(output);
  const onAbort = () => output.close();
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) output.close();
  const read = async () => {
    while (request && !output.closed) {
      await handle(edge, request, output);
      await output.room();
      const next: IteratorResult<DeliverRequest> = await incoming.next();
      request = next.done ? undefined : next.value;
    }
  };
  const reading = read()
    .then(
      () => undefined,
      (error: unknown) => {
        log.warn({ err: error }, 'a link broke');
        return { error };
      },
    )
    .finally(() => output.close());
  try {
    yield* output.read();
    // The port is closing, or the router is gone: what it still says is not waited for.
    if (signal.reason instanceof CarillonError) throw signal.reason;
    const broken = signal.aborted ? undefined : await reading;
    if (broken) throw broken.error;
  } finally {
    detach();
    output.close();
    signal.removeEventListener('abort', onAbort);
  }
}

export const linkMount = (options: LinkMountOptions): Mount =>
  mount(
    EdgeLinkService,
    { deliver: (requests, context) => serveLink(options, requests, context) },
    { authenticator: options.authenticator },
  );
