// A web app on the SDK: it tells its test what it hears, and does what it is told.
import {
  CarillonClient,
  type CursorStore,
  indexedDbCursors,
  localStorageCursors,
  Mark,
} from '../../client/client.ts';

/** What the test calls and reads, through the page's global object. */
export interface ClientSdkPage {
  start(plan: { edge: string; token: string }): void;
  seqs: number[];
  states: string[];
  resyncs: string[];
  errors: string[];
  counts: { unseen: number; unread: number }[];
  mark(notificationId: string): Promise<number>;
  ids: string[];
  stores: Record<'indexedDb' | 'localStorage', CursorStore>;
}

const page: ClientSdkPage = {
  seqs: [],
  states: [],
  resyncs: [],
  errors: [],
  counts: [],
  ids: [],
  stores: { indexedDb: indexedDbCursors(), localStorage: localStorageCursors() },
  start({ edge, token }) {
    const client = new CarillonClient({ url: edge, token: () => token, cursors: page.stores.indexedDb });
    client.on('item', ({ seq, item }) => {
      page.seqs.push(seq);
      page.ids.push(item.notificationId);
    });
    client.on('state', (state) => page.states.push(state));
    client.on('resync', ({ reason }) => page.resyncs.push(reason));
    client.on('error', ({ reason, message }) => page.errors.push(`${reason} ${message}`));
    client.on('counts', (counts) => page.counts.push(counts));
    page.mark = async (notificationId) => {
      const { marked } = await client.mark({ mark: Mark.READ, notificationIds: [notificationId] });
      return marked;
    };
    client.start();
  },
  mark: () => Promise.reject(new Error('not started')),
};
Object.assign(globalThis, { page });
