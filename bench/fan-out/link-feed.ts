// What a link brings: batches of items and targets, one batch a turn, made as fresh as they come off the wire.
import { create } from '@bufbuild/protobuf';
import type { Hub } from '../../edge/hub.ts';
import { type Target, TargetSchema } from '../../gen/carillon/v1/edge_link_pb.ts';
import { DEFAULT_TENANT } from '../../runtime/identity.ts';
import { limits } from '../../runtime/limits.ts';
import { itemField, numberItems } from './item.ts';
import { type Load, messagesOf } from './messages.ts';

const BATCH = limits.linkTargetsCount;
// A batch comes off a link fresh, so it is in the processor's cache: made again and again, it would not be.
const batch: Target[] = Array.from({ length: BATCH }, () =>
  create(TargetSchema, { tenant: DEFAULT_TENANT, item: 0 }),
);
const different = Array.from({ length: BATCH }, () => Buffer.from(itemField));

export class LinkFeed {
  readonly #hub: Hub;
  #users: string[] = [];
  /** The position that every stream has. */
  seq = 0;

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  /** Resolves when all streams have been written to, or wait for their turn's flush. */
  async send(load: Load): Promise<void> {
    if (this.#users.length !== this.#hub.streams)
      this.#users = this.#hub.sessions().map(({ user: { userId } }) => userId);
    const each = messagesOf(load);
    const users = Math.floor(BATCH / each);
    for (let from = 0; from < this.#users.length; from += users) {
      const targets = this.#batch(from, Math.min(users, this.#users.length - from), each, load);
      if (load === 'different') numberItems(different, from);
      await this.#hub.deliver(load === 'different' ? different : Array(each).fill(itemField), targets);
      // A link brings its batches one by one.
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.seq += each;
  }

  #batch(from: number, users: number, each: number, load: Load): Target[] {
    const targets = batch.slice(0, users * each);
    for (const [index, target] of targets.entries()) {
      const message = index % each;
      target.userId = this.#users[from + Math.floor(index / each)]!;
      target.seq = this.seq + 1 + message;
      target.item = load === 'different' ? index : message;
    }
    return targets;
  }
}
