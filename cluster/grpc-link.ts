// One router's stream to one edge: every batch is answered in time, by the edge or by "nobody is there"; nothing piles up.
import { create } from '@bufbuild/protobuf';
import {
  type Changed,
  type DeliverRequest,
  DeliverRequestSchema,
  type DeliverResponse,
  EdgeLinkService,
  type Target,
  TargetOutcome,
  type TargetResult,
  TargetResultSchema,
} from '../gen/carillon/v1/edge_link_pb.ts';
import type { Clock, Timer } from '../runtime/clock.ts';
import { type GrpcClient, grpcClient } from '../runtime/grpc-service.ts';
import type { Ids } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { EdgeMember } from './membership.ts';

export interface GrpcLinkOptions {
  member: EdgeMember;
  clock: Clock;
  ids: Ids;
  log: Log;
  onChanged(users: readonly Changed[]): void;
}

interface Pending {
  targets: number;
  timer: Timer;
  resolve(results: TargetResult[]): void;
}

type Stream = ReturnType<GrpcClient<typeof EdgeLinkService>['deliver']>;

const nobody = (targets: number): TargetResult[] =>
  Array.from({ length: targets }, () => create(TargetResultSchema, { outcome: TargetOutcome.NO_SESSION }));

export class GrpcLink implements Disposable {
  readonly member: EdgeMember;
  readonly #options: GrpcLinkOptions;
  readonly #client: GrpcClient<typeof EdgeLinkService>;
  readonly #stopping = new AbortController();
  readonly #pending = new Map<number, Pending>();
  #stream: Stream | undefined;
  #batch = 0;
  /** Written to the stream, not yet taken by the socket. */
  #unsentCount = 0;
  #unsentBytes = 0;
  /** The last batch was not answered in time, and nothing has come since. */
  #stalled = false;

  constructor(options: GrpcLinkOptions) {
    this.#options = options;
    this.member = options.member;
    this.#client = grpcClient(EdgeLinkService, options.member.linkAddress, {
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
    void this.#keep();
  }

  get linked(): boolean {
    return this.#stream !== undefined;
  }

  deliver(items: readonly Uint8Array[], targets: readonly Target[]): Promise<TargetResult[]> {
    // A stalled edge gets one batch at a time, to learn when it is back; the others do not wait for it.
    const refused = !this.#stream || this.#isFull() || (this.#stalled && this.#pending.size > 0);
    if (refused) return Promise.resolve(nobody(targets.length));
    this.#batch = (this.#batch % 0xffff_ffff) + 1;
    const batch = this.#batch;
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(limits.linkAnswerMs, () => {
        this.#stalled = true;
        this.#answer(batch, []);
      });
      this.#pending.set(batch, { targets: targets.length, timer, resolve });
      this.#write(create(DeliverRequestSchema, { batch, items: [...items], targets: [...targets] }));
    });
  }

  /** Tells the edge that inboxes changed elsewhere; dropped when the link cannot take it. */
  tell(changed: readonly Changed[]): void {
    if (this.#stream && !this.#isFull()) this.#write(create(DeliverRequestSchema, { changed: [...changed] }));
  }

  #isFull(): boolean {
    return (
      this.#pending.size >= limits.linkPendingCount ||
      this.#unsentCount >= limits.linkPendingCount ||
      this.#unsentBytes >= limits.linkBufferBytes
    );
  }

  #write(request: DeliverRequest): void {
    const stream = this.#stream;
    if (!stream) return;
    const bytes = request.items.reduce((sum, item) => sum + item.length, request.targets.length * 64);
    this.#unsentCount++;
    this.#unsentBytes += bytes;
    stream.write(request, () => {
      if (this.#stream !== stream) return;
      this.#unsentCount--;
      this.#unsentBytes -= bytes;
    });
  }

  #answer(batch: number, results: TargetResult[]): void {
    const pending = this.#pending.get(batch);
    if (!pending) return;
    this.#pending.delete(batch);
    pending.timer[Symbol.dispose]();
    pending.resolve(results.length === pending.targets ? results : nobody(pending.targets));
  }

  /** Keeps a stream open until disposed, with a pause that doubles while it breaks at once. */
  async #keep(): Promise<void> {
    const { clock, ids, log, member } = this.#options;
    const { signal } = this.#stopping;
    let pauseMs: number = limits.linkReconnectMs;
    while (!signal.aborted) {
      const openedMs = clock.monotonic();
      const error = await this.#runStream(signal);
      if (signal.aborted) return;
      if (clock.monotonic() - openedMs > limits.linkReconnectMaxMs) pauseMs = limits.linkReconnectMs;
      log.warn({ edge: member.node, address: member.linkAddress, err: error }, 'the link to an edge is down');
      await clock.sleep(pauseMs * (0.5 + ids.random()), signal);
      pauseMs = Math.min(pauseMs * 2, limits.linkReconnectMaxMs);
    }
  }

  /** Resolves when the stream has ended, with why. */
  async #runStream(signal: AbortSignal): Promise<unknown> {
    try {
      await this.#ready();
      if (signal.aborted) return undefined;
      return await new Promise<unknown>((resolve) => {
        const stream = this.#client.deliver({ signal });
        stream.on('data', (response: DeliverResponse) => this.#receive(response));
        stream.on('error', resolve);
        stream.on('end', () => resolve(undefined));
        this.#stream = stream;
        this.#stalled = false;
        this.#unsentCount = 0;
        this.#unsentBytes = 0;
      });
    } catch (error) {
      return error;
    } finally {
      this.#stream?.cancel();
      this.#stream = undefined;
      for (const batch of [...this.#pending.keys()]) this.#answer(batch, []);
    }
  }

  #ready(): Promise<void> {
    const deadlineMs = this.#options.clock.now() + limits.linkReconnectMaxMs;
    return new Promise((resolve, reject) => {
      this.#client.channel.waitForReady(deadlineMs, (error) => (error ? reject(error) : resolve()));
    });
  }

  #receive({ batch, results, changed }: DeliverResponse): void {
    this.#stalled = false;
    if (batch > 0) this.#answer(batch, results);
    if (changed.length > 0) this.#options.onChanged(changed);
  }

  [Symbol.dispose](): void {
    this.#stopping.abort();
    this.#stream?.cancel();
    this.#client[Symbol.dispose]();
    for (const batch of [...this.#pending.keys()]) this.#answer(batch, []);
  }
}
