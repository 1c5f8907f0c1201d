// Cursors in IndexedDB: where localStorage is missing, as in workers.
import type { CursorStore } from './cursors.ts';

const STORE = 'cursors';

const answerOf = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

function opened(factory: IDBFactory, name: string): Promise<IDBDatabase> {
  const request = factory.open(name, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE);
  return answerOf(request);
}

/** `name`: of the database, one per origin. */
export function indexedDbCursors(name = 'carillon', factory: IDBFactory = indexedDB): CursorStore {
  let database: Promise<IDBDatabase> | undefined;

  async function inStore<T>(
    mode: IDBTransactionMode,
    ask: (store: IDBObjectStore) => IDBRequest<T>,
  ): Promise<T> {
    database ??= opened(factory, name).then((open) => {
      // Whoever wants to delete or upgrade it is let; the next call opens it again.
      open.onversionchange = () => open.close();
      open.onclose = () => {
        database = undefined;
      };
      return open;
    });
    try {
      const transaction = (await database).transaction(STORE, mode, { durability: 'relaxed' });
      return await answerOf(ask(transaction.objectStore(STORE)));
    } catch (error) {
      database = undefined;
      throw error;
    }
  }

  return {
    async load(key) {
      const text: unknown = await inStore('readonly', (store) => store.get(key));
      return typeof text === 'string' ? text : undefined;
    },
    async save(key, text) {
      await inStore('readwrite', (store) => store.put(text, key));
    },
    async remove(key) {
      await inStore('readwrite', (store) => store.delete(key));
    },
  };
}
