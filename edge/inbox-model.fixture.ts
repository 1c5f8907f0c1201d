// A user's inbox in memory, with the same rules as storage/inbox.ts, whose reads a test lets happen one by one.
import { create, toBinary } from '@bufbuild/protobuf';
import { Lane, NotificationSchema } from '../gen/carillon/v1/notification_pb.ts';
import { CarillonError } from '../runtime/errors.ts';
import type { Contents, InboxPage, InboxRow, PageRequest } from '../storage/inbox.ts';
import { encodeItem } from '../storage/inbox-item.ts';

export interface ModelItem {
  id: string;
  seq: number;
  firstSeq: number;
  seen: boolean;
  read: boolean;
  archived: boolean;
}

const content = (id: string, padding: number) => ({
  id,
  lane: Lane.NORMAL,
  category: 'test',
  createdAtMs: 1_800_000_000_000,
  payload: toBinary(
    NotificationSchema,
    create(NotificationSchema, { content: { title: id, body: 'x'.repeat(padding) } }),
  ),
});

export class InboxModel {
  head = 0;
  unseen = 0;
  unread = 0;
  readonly items: ModelItem[] = [];
  /** Rows of a page, and contents of a read, whatever is asked for. */
  pageRows = 3;
  contents = 2;
  /** Characters of an item's body. */
  padding = 0;
  /** When true, reads wait until `step`. */
  held = false;
  /** When true, reads fail. */
  away = false;
  readonly #pending: (() => void)[] = [];

  /** Stores an item; answers its position. */
  add(): ModelItem {
    const seq = ++this.head;
    const item = { id: `n${seq}`, seq, firstSeq: seq, seen: false, read: false, archived: false };
    this.items.push(item);
    this.unseen++;
    this.unread++;
    return item;
  }

  markRead(item: ModelItem): void {
    if (item.read) return;
    if (!item.seen) this.unseen--;
    this.unread--;
    item.seen = true;
    item.read = true;
    item.seq = ++this.head;
  }

  encoded(id: string): Uint8Array {
    return encodeItem(content(id, this.padding));
  }

  get pending(): number {
    return this.#pending.length;
  }

  /** Lets one thing happen: a snapshot is taken, or its answer arrives. */
  step(): void {
    this.#pending.shift()?.();
  }

  #pause(): Promise<void> {
    if (this.away) return Promise.reject(new CarillonError('STORE_UNAVAILABLE'));
    if (!this.held) return Promise.resolve();
    return new Promise((resolve) => this.#pending.push(resolve));
  }

  readPages = async (requests: readonly PageRequest[]): Promise<InboxPage[]> => {
    await this.#pause();
    const pages = requests.map(({ after }) => this.#page(after));
    await this.#pause();
    return pages;
  };

  #page(after: number): InboxPage {
    const rows: InboxRow[] = [];
    for (const { seq, firstSeq, id, seen, read, archived } of this.items) {
      const row = { firstSeq, notificationId: id, seen, read, archived, atMs: 1_800_000_000_000 };
      if (firstSeq > after) rows.push({ ...row, at: firstSeq });
      if (seq > firstSeq && seq > after) rows.push({ ...row, at: seq });
    }
    rows.sort((a, b) => a.at - b.at);
    const page = rows.slice(0, this.pageRows);
    const complete = page.length < this.pageRows || page.at(-1)!.at >= this.head;
    return { head: this.head, unseen: this.unseen, unread: this.unread, rows: page, complete };
  }

  readContents = async (ids: readonly string[]): Promise<Contents> => {
    await this.#pause();
    return {
      found: ids
        .slice(0, this.contents)
        .map((id) => ({ ...content(id, this.padding), traceparent: undefined })),
      complete: ids.length <= this.contents,
    };
  };
}
