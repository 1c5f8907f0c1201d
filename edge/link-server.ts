// The edge's end of a link: batches in, what became of them out, and which inboxes changed, both ways.
import { create } from '@bufbuild/protobuf';
import type { HandlerContext } from '@connectrpc/connect';
import type { Changed, EdgePort } from '../cluster/edge-link.ts';
import {
  type DeliverRequest,
  type DeliverResponse,
  DeliverResponseSchema,
  EdgeLinkService,
} from '../gen/carillon/v1/edge_link_pb.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import { type Mount, mount } from '../runtime/mount.ts';

/** What waits to go to the router. Changes of one user are joined; past their bound the heartbeat tells the edges. */
class LinkOutput {
  readonly #answers: DeliverResponse[] = [];
  readonly #changed = new Map<string, Changed>();
  #wake: (() => void) | undefined;
  #room: (() => void) | undefined;
  #closed = false;

  answer(response: DeliverResponse): void {
    this.#answers.push(response);
    this.#wake?.();
  }

  changed(users: readonly Changed[]): void {
    for (const user of users) {
      const key = `${user.tenant}\0${user.userId}`;
      const known = this.#changed.get(key);
      if (!known && this.#changed.size >= limits.linkChangedCount) return;
      if (!known || known.head < user.head) this.#changed.set(key, user);
    }
    this.#wake?.();
  }

  close(): void {
    this.#closed = true;
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

  /** Answers until closed; what was answered before the end still goes out. */
  async *read(): AsyncGenerator<DeliverResponse> {
    for (;;) {
      const answer = this.#answers.shift();
      if (answer) {
        this.#room?.();
        yield answer;
      } else if (this.#changed.size > 0) {
        const changed = [...this.#changed.values()];
        this.#changed.clear();
        yield create(DeliverResponseSchema, { changed });
      } else if (this.#closed) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}

async function readRequests(
  edge: EdgePort,
  requests: AsyncIterable<DeliverRequest>,
  output: LinkOutput,
): Promise<void> {
  for await (const { batch, items, targets, changed } of requests) {
    await output.room();
    if (output.closed) return;
    if (changed.length > 0) edge.changed(changed);
    const results = targets.length > 0 ? await edge.deliver(items, targets) : [];
    if (batch > 0) output.answer(create(DeliverResponseSchema, { batch, results }));
  }
}

/** Serves one stream per router until the router, or the port, ends it. */
export async function* serveLink(
  edge: EdgePort,
  requests: AsyncIterable<DeliverRequest>,
  context: Pick<HandlerContext, 'signal'>,
  log: Log,
): AsyncGenerator<DeliverResponse> {
  const output = new LinkOutput();
  const stopListening = edge.onChanged((users) => output.changed(users));
  const onAbort = () => output.close();
  context.signal.addEventListener('abort', onAbort, { once: true });
  if (context.signal.aborted) output.close();
  const reading = readRequests(edge, requests, output)
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
    const broken = await reading;
    if (broken) throw broken.error;
  } finally {
    stopListening();
    output.close();
    context.signal.removeEventListener('abort', onAbort);
  }
}

export const linkMount = (edge: EdgePort, log: Log): Mount =>
  mount(EdgeLinkService, { deliver: (requests, context) => serveLink(edge, requests, context, log) });
