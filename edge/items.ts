// Ready-made bytes of items, kept for as long as they fit: a notification to many is encoded once, live and in replay.
import { limits } from '../runtime/limits.ts';
import { isSampled } from '../runtime/tracing.ts';
import type { Contents, InboxRow } from '../storage/inbox.ts';
import { deliverTail, encodeItem } from '../storage/inbox-item.ts';

/** What follows the head of a `Deliver` frame. */
export interface Tail {
  /** Fields of `Deliver` that all its targets share. */
  bytes: Uint8Array;
  /** Of a sampled flow: it is not in `bytes`, since each target has a span, and so a traceparent, of its own. */
  traceparent: string | undefined;
}

const text = new TextDecoder();

/** Reads a varint; the pair is value and next offset. */
function varintAt(bytes: Uint8Array, offset: number): [number, number] {
  let value = 0;
  let at = offset;
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = bytes[at++] ?? 0;
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return [value, at];
  }
  return [value, bytes.length];
}

/** What a link brought (`DeliverRequest.items`), with the traceparent taken out when the flow is sampled. */
export function tailOf(bytes: Uint8Array): Tail {
  for (let at = 0; at < bytes.length; ) {
    const [length, from] = varintAt(bytes, at + 1);
    if (bytes[at] === 0x22) {
      const traceparent = text.decode(bytes.subarray(from, from + length));
      if (!isSampled(traceparent)) break;
      const rest = at === 0 ? bytes.subarray(from + length) : bytes.subarray(0, at);
      const whole = at === 0 || from + length === bytes.length;
      return {
        bytes: whole ? rest : Buffer.concat([rest, bytes.subarray(from + length)]),
        traceparent,
      };
    }
    at = from + length;
  }
  return { bytes, traceparent: undefined };
}

interface Cached {
  item: Uint8Array;
  tail: Tail;
  unsampled: string | undefined;
}

export type ReadContents = (ids: readonly string[], budgetBytes: number) => Promise<Contents>;

/** Items by notification id; the least recently used go first when `limits.itemCacheBytes` is reached. */
export class ItemCache {
  readonly #read: ReadContents;
  readonly #items = new Map<string, Cached>();
  #bytes = 0;

  constructor(read: ReadContents) {
    this.#read = read;
  }

  /**
   * Makes the items of these notifications known. Answers how each row may be sent: `has` is false for ids that retention
   * removed, `beyond` true for those that were too much for one read: read again for them.
   */
  async load(ids: ReadonlySet<string>): Promise<Loaded> {
    const known = new Map<string, Cached>();
    const missing: string[] = [];
    let beyond: Set<string> | undefined;
    for (const id of ids) {
      const cached = this.#items.get(id);
      if (cached) {
        this.#items.delete(id);
        this.#items.set(id, cached);
        known.set(id, cached);
      } else missing.push(id);
    }
    if (missing.length > 0) {
      const asked = missing.slice(0, limits.contentReadCount);
      const { found, complete } = await this.#read(asked, limits.contentReadBytes);
      for (const content of found)
        known.set(content.id, this.#add(content.id, encodeItem(content), content.traceparent));
      const reached = complete ? asked.length : asked.indexOf(found.at(-1)?.id ?? '') + 1;
      if (reached < missing.length) beyond = new Set(missing.slice(reached));
    }
    return new Loaded(known, beyond);
  }

  #add(id: string, item: Uint8Array, traceparent: string | undefined): Cached {
    const sampled = isSampled(traceparent);
    const unsampled = sampled ? undefined : traceparent;
    const cached: Cached = {
      item,
      tail: { bytes: deliverTail(item, unsampled), traceparent: sampled ? traceparent : undefined },
      unsampled,
    };
    this.#items.set(id, cached);
    this.#bytes += sizeOf(cached);
    for (const [oldest, entry] of this.#items) {
      if (this.#bytes <= limits.itemCacheBytes) break;
      this.#items.delete(oldest);
      this.#bytes -= sizeOf(entry);
    }
    return cached;
  }
}

const sizeOf = ({ item, tail }: Cached): number => item.length + tail.bytes.length + 200;

const SEEN = [0x38, 1];
const READ = [0x40, 1];
const ARCHIVED = [0x48, 1];

/** The items of one replay. */
export class Loaded {
  readonly #known: ReadonlyMap<string, Cached>;
  readonly #beyond: ReadonlySet<string> | undefined;

  constructor(known: ReadonlyMap<string, Cached>, beyond: ReadonlySet<string> | undefined) {
    this.#known = known;
    this.#beyond = beyond;
  }

  /** Whether the id was left for another read. */
  beyond(id: string): boolean {
    return this.#beyond?.has(id) ?? false;
  }

  /** The item with the recipient's marks on it; undefined when it is no longer kept. */
  tail(row: InboxRow): Tail | undefined {
    const cached = this.#known.get(row.notificationId);
    if (!cached) return undefined;
    if (!row.seen && !row.read && !row.archived) return cached.tail;
    const marks = Uint8Array.from([
      ...(row.seen ? SEEN : []),
      ...(row.read ? READ : []),
      ...(row.archived ? ARCHIVED : []),
    ]);
    return {
      bytes: deliverTail(cached.item, cached.unsampled, marks),
      traceparent: cached.tail.traceparent,
    };
  }

  /** The encoded item as it is without marks; undefined when it is no longer kept. */
  item(id: string): Uint8Array | undefined {
    return this.#known.get(id)?.item;
  }
}
