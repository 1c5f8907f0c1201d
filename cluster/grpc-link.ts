// One router's stream to one edge, opened again whenever it breaks: batches and their answers, and what edges say to one another.
import { create } from '@bufbuild/protobuf';
import grpc from '@grpc/grpc-js';
import {
  type Changed,
  type DeliverRequest,
  DeliverRequestSchema,
  type DeliverResponse,
  EdgeLinkService,
  type HeldPresence,
  type Signal,
  type SignalOutcome,
  type Target,
  type TargetResult,
} from '../gen/carillon/v1/edge_link_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import { type GrpcClient, grpcClient } from '../runtime/grpc-service.ts';
import type { Ids } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import { nobody } from './edge-link.ts';
import { LinkBatches } from './link-batches.ts';
import { LinkMail } from './link-mail.ts';
import { channelSecurity, type LinkSecurity } from './link-security.ts';
import type { Member } from './membership.ts';
import type { UserKey } from './presence.ts';
import { SignalCalls } from './signal-calls.ts';

export interface GrpcLinkOptions {
  member: Member;
  clock: Clock;
  ids: Ids;
  log: Log;
  security: LinkSecurity;
  /** Hash of the view that this router has. */
  view(): string;
  onChanged(users: readonly Changed[]): void;
  onSignals(signals: readonly Signal[]): void;
  /** It has ended for good. */
  onEnd(): void;
}

type Stream = ReturnType<GrpcClient<typeof EdgeLinkService>['deliver']>;

/** Head, ids and position of a target, about. */
const TARGET_BYTES = 64;

export class GrpcLink implements Disposable {
  readonly member: Member;
  readonly #options: GrpcLinkOptions;
  readonly #client: GrpcClient<typeof EdgeLinkService>;
  readonly #stopping = new AbortController();
  readonly #batches: LinkBatches;
  readonly #mail: LinkMail;
  readonly #signals: SignalCalls;
  #stream: Stream | undefined;
  /** Undefined until the edge has greeted. */
  #view: string | undefined;
  #heardMs = 0;
  #leaving = false;

  constructor(options: GrpcLinkOptions) {
    this.#options = options;
    this.member = options.member;
    const { clock, security, member } = options;
    this.#client = grpcClient(EdgeLinkService, member.address, {
      ...channelSecurity(security, member.address),
      'grpc.keepalive_time_ms': limits.linkKeepaliveMs,
      'grpc.keepalive_timeout_ms': limits.linkKeepaliveAnswerMs,
      'grpc.keepalive_permit_without_calls': 1,
      'grpc.initial_reconnect_backoff_ms': limits.linkReconnectMs,
      'grpc.min_reconnect_backoff_ms': limits.linkReconnectMs,
      'grpc.max_reconnect_backoff_ms': limits.linkReconnectMaxMs,
      'grpc.max_receive_message_length': limits.linkMessageBytes,
      // Two links to one address, one of them to an edge that is gone, must not share a connection.
      'grpc.use_local_subchannel_pool': 1,
    });
    this.#batches = new LinkBatches({
      clock,
      write: (request, taken) => this.#write(request, taken),
      onLate: () => this.#late(),
    });
    this.#mail = new LinkMail((request) => this.#write(request, () => {}));
    this.#signals = new SignalCalls(clock, (signal) => {
      if (!this.linked) return false;
      this.#mail.signal(signal);
      return true;
    });
    void this.#keep();
  }

  /** The edge has greeted, and nothing is known to have broken since. */
  get linked(): boolean {
    return this.#view !== undefined;
  }

  /** Hash of the view that the edge has said it has. */
  get view(): string | undefined {
    return this.#view;
  }

  async deliver(items: readonly Uint8Array[], targets: readonly Target[]): Promise<TargetResult[]> {
    const bytes = items.reduce((sum, item) => sum + item.length, targets.length * TARGET_BYTES);
    const answer = await this.#batches.ask({ items: [...items], targets: [...targets] }, bytes);
    return answer?.results.length === targets.length ? answer.results : nobody(targets);
  }

  async held(users: readonly UserKey[]): Promise<HeldPresence[] | undefined> {
    const presenceOf = users.map(({ tenant, userId }) => ({ tenant, userId }));
    const answer = await this.#batches.ask({ presenceOf }, users.length * TARGET_BYTES);
    return answer?.presences.length === users.length ? answer.presences : undefined;
  }

  /** Tells the edge that inboxes changed elsewhere; dropped when the link is down. */
  changed(users: readonly Changed[]): void {
    if (this.linked) this.#mail.changed(users);
  }

  signal(signal: Signal): Promise<SignalOutcome> {
    return this.#signals.call(signal);
  }

  /** What became of a signal of this edge. */
  signalled(id: number, outcome: SignalOutcome): void {
    if (this.linked) this.#mail.result(id, outcome);
  }

  /** Whether its edge is no longer a member: the link then serves as long as it holds, and is not opened again. */
  set leaving(leaving: boolean) {
    this.#leaving = leaving;
  }

  #write(request: DeliverRequest, taken: () => void): void {
    const stream = this.#stream;
    if (!stream) return;
    // What is said besides batches is dropped while the socket takes nothing; batches are bounded before they come here.
    if (request.batch === 0 && stream.writableLength >= limits.linkBatchesCount) return;
    request.view = this.#options.view();
    stream.write(request, taken);
  }

  #late(): void {
    const { clock, log, member } = this.#options;
    if (!this.#stream || clock.monotonic() - this.#heardMs < limits.linkSilentMs) return;
    log.warn({ edge: member.node }, 'an edge has been silent for too long; its link is opened anew');
    this.#stream.cancel();
  }

  /** Keeps a stream open until disposed, with a pause that doubles while it breaks at once. */
  async #keep(): Promise<void> {
    const { clock, ids, log, member, onEnd } = this.#options;
    const { signal } = this.#stopping;
    let pauseMs: number = limits.linkReconnectMs;
    while (!signal.aborted) {
      const openedMs = clock.monotonic();
      const { greeted, error } = await this.#run(signal);
      if (signal.aborted || this.#leaving) break;
      if (greeted && clock.monotonic() - openedMs > limits.linkReconnectMaxMs)
        pauseMs = limits.linkReconnectMs;
      log.warn({ edge: member.node, address: member.address, err: error }, 'the link to an edge is down');
      await clock.sleep(pauseMs * (0.5 + ids.random()), signal);
      pauseMs = Math.min(pauseMs * 2, limits.linkReconnectMaxMs);
    }
    this[Symbol.dispose]();
    onEnd();
  }

  /** Resolves when the stream has ended, with why. What came meanwhile and was not answered is answered by "nobody". */
  async #run(signal: AbortSignal): Promise<{ greeted: boolean; error: unknown }> {
    let error: unknown;
    try {
      await this.#ready();
      error = signal.aborted ? undefined : await this.#converse(signal);
    } catch (thrown) {
      error = thrown;
    }
    const greeted = this.linked;
    this.#stream?.cancel();
    this.#stream = undefined;
    this.#view = undefined;
    // A link that held is most likely there again in a moment; one that could not be opened is not waited for.
    this.#batches.closed(greeted && !this.#leaving ? 'opening' : 'down');
    this.#signals.broken();
    return { greeted, error };
  }

  /** Resolves when there is a connection, or none to be had: the call then fails at once, with the reason. */
  #ready(): Promise<void> {
    const { READY, TRANSIENT_FAILURE, SHUTDOWN } = grpc.connectivityState;
    const channel = this.#client.channel.getChannel();
    return new Promise((resolve) => {
      let given = false;
      const settle = () => {
        given = true;
        late[Symbol.dispose]();
        resolve();
      };
      const late = this.#options.clock.after(limits.linkReconnectMaxMs, settle);
      const look = (before?: grpc.connectivityState) => {
        if (given) return;
        const state = channel.getConnectivityState(true);
        // What it starts with is how the last attempt ended.
        const failed = state === SHUTDOWN || (state === TRANSIENT_FAILURE && before !== undefined);
        if (state === READY || failed) settle();
        else channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, () => look(state));
      };
      look();
    });
  }

  async #converse(signal: AbortSignal): Promise<unknown> {
    const { clock, security, member } = this.#options;
    const token = await security.token?.();
    if (signal.aborted) return undefined;
    const stream = this.#client.deliver({
      signal,
      ...(token && { headers: { authorization: `Bearer ${token}` } }),
    });
    this.#stream = stream;
    this.#heardMs = clock.monotonic();
    const late = clock.after(limits.linkGreetingMs, () => {
      if (!this.linked) stream.destroy(new CarillonError('UNREACHABLE', 'The edge did not greet in time.'));
    });
    const ended = new Promise<unknown>((resolve) => {
      stream.on('data', (response: DeliverResponse) => this.#receive(response));
      stream.on('error', resolve);
      stream.on('end', () => resolve(undefined));
    });
    this.#write(create(DeliverRequestSchema, { incarnation: member.incarnation }), () => {});
    const why = await ended;
    late[Symbol.dispose]();
    return why;
  }

  #receive(response: DeliverResponse): void {
    const { clock, onChanged, onSignals } = this.#options;
    this.#heardMs = clock.monotonic();
    const greeting = !this.linked;
    this.#view = response.view;
    if (greeting) this.#batches.opened(response.credits);
    this.#batches.heard();
    if (response.batch > 0) this.#batches.answered(response);
    if (response.signalResults.length > 0) this.#signals.answered(response.signalResults);
    if (response.changed.length > 0) onChanged(response.changed);
    if (response.signals.length > 0) onSignals(response.signals);
  }

  [Symbol.dispose](): void {
    this.#stopping.abort();
    this.#stream?.cancel();
    this.#client[Symbol.dispose]();
    this.#batches.closed('down');
    this.#signals.broken();
  }
}
