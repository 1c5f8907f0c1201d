// The part of a web app that hears: the stock web client holds a stream, drops it by chance, resumes, and acknowledges in batches.
import { createClient, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcWebTransport } from '@connectrpc/connect-web';
import { type Deliver, EdgeService, type Hello, Resume } from '../../gen/carillon/v1/edge_pb.ts';
import { seeded } from '../chaos/random.ts';

export type WireName = 'connect' | 'connect-json' | 'grpc-web';

/** Comes as JSON in the fragment of the page's address. */
export interface HearingPlan {
  /** Where the edge is; never where the page came from. */
  edge: string;
  userId: string;
  token: string;
  wire: WireName;
  /** Of the drops. */
  seed: number;
  /** Hear so many. */
  items: number;
  /** On average one drop in so many items. */
  dropOneIn: number;
  /** Acknowledge when so many have come since the last time. */
  ackEvery: number;
}

interface HeardItem {
  seq: number;
  title: string;
}

export interface Heard {
  /** In the order in which they came. */
  items: HeardItem[];
  drops: number;
  /** What the edge said to each cursor that was handed back. */
  resumed: boolean[];
  ackCalls: number;
  /** What the edge counted as acknowledged for the first time, over all calls. */
  acknowledged: number;
  /** At the end, newest first. */
  inbox: { items: HeardItem[]; unseen: number; unread: number };
}

/** What the test listens to. */
interface TestEars {
  onHello(): void;
  onHeard(heard: Heard): void;
}

const transports: Record<WireName, (baseUrl: string) => Transport> = {
  connect: (baseUrl) => createConnectTransport({ baseUrl, useBinaryFormat: true }),
  'connect-json': (baseUrl) => createConnectTransport({ baseUrl, useBinaryFormat: false }),
  'grpc-web': (baseUrl) => createGrpcWebTransport({ baseUrl }),
};

class Hearing {
  readonly heard: Heard = {
    items: [],
    drops: 0,
    resumed: [],
    ackCalls: 0,
    acknowledged: 0,
    inbox: { items: [], unseen: 0, unread: 0 },
  };
  readonly #plan: HearingPlan;
  readonly #client;
  readonly #headers: Record<string, string>;
  #sessionId = '';
  #cursor: string | undefined;
  #seq = 0;
  #acked = 0;
  #acking: Promise<void> | undefined;

  constructor(plan: HearingPlan) {
    this.#plan = plan;
    this.#client = createClient(EdgeService, transports[plan.wire](plan.edge));
    this.#headers = { authorization: `Bearer ${plan.token}` };
  }

  async hear(onHello: () => void): Promise<void> {
    const { seed, items, dropOneIn } = this.#plan;
    const chance = seeded(seed);
    while (this.#seq < items) {
      const call = new AbortController();
      const { signal } = call;
      const cursor = this.#cursor;
      for await (const { frame } of this.#client.subscribe({ cursor }, { signal, headers: this.#headers })) {
        if (frame.case === 'hello') {
          this.#greeted(frame.value, cursor);
          onHello();
        }
        if (frame.case !== 'deliver') continue;
        this.#take(frame.value);
        if (this.heard.items.length > items) throw new Error(`more than ${items} items came`);
        if (this.#seq >= items) break;
        if (chance.next() < 1 / dropOneIn) {
          this.heard.drops++;
          break;
        }
      }
      call.abort();
    }
    await this.#acking;
    await this.#ack();
    await this.#readInbox();
  }

  #greeted(hello: Hello, handedBack: string | undefined): void {
    this.#sessionId = hello.sessionId;
    if (handedBack === undefined) this.#cursor = hello.cursor;
    else this.heard.resumed.push(hello.resume === Resume.RESUMED);
  }

  #take({ seq, cursor, item }: Deliver): void {
    this.heard.items.push({ seq, title: item?.content?.title ?? '' });
    this.#cursor = cursor;
    this.#seq = seq;
    if (seq - this.#acked < this.#plan.ackEvery || this.#acking) return;
    this.#acking = this.#ack().finally(() => {
      this.#acking = undefined;
    });
  }

  /** One call for all that came since the last one; at most one is under way. */
  async #ack(): Promise<void> {
    const upto = this.#seq;
    if (upto === this.#acked) return;
    const request = { sessionId: this.#sessionId, after: this.#acked, upto };
    const { acknowledged } = await this.#client.ack(request, { headers: this.#headers });
    this.#acked = upto;
    this.heard.ackCalls++;
    this.heard.acknowledged += acknowledged;
  }

  async #readInbox(): Promise<void> {
    const { inbox } = this.heard;
    let pageToken = '';
    do {
      const page = await this.#client.listInbox({ pageSize: 200, pageToken }, { headers: this.#headers });
      inbox.items.push(
        ...page.items.map(({ firstSeq, item }) => ({ seq: firstSeq, title: item?.content?.title ?? '' })),
      );
      inbox.unseen = page.unseen;
      inbox.unread = page.unread;
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
  }
}

// The page's own functions are put there by the test, from outside.
const ears = globalThis as unknown as TestEars;
const hearing = new Hearing(JSON.parse(decodeURIComponent(location.hash.slice(1))));
await hearing.hear(() => ears.onHello());
ears.onHeard(hearing.heard);
