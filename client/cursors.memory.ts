// Cursors that live as long as the page or process does.
import type { CursorStore } from './cursors.ts';

export function memoryCursors(): CursorStore {
  const texts = new Map<string, string>();
  return {
    load: (key) => texts.get(key),
    save: (key, text) => void texts.set(key, text),
    remove: (key) => void texts.delete(key),
  };
}
