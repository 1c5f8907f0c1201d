// Cursors in localStorage: written at once, so that a page that is closed loses nothing.
import type { CursorStore } from './cursors.ts';

/** `storage`: localStorage, or anything of its form, such as sessionStorage. */
export function localStorageCursors(
  storage: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> = localStorage,
): CursorStore {
  return {
    load: (key) => storage.getItem(key) ?? undefined,
    save: (key, text) => storage.setItem(key, text),
    remove: (key) => storage.removeItem(key),
  };
}
