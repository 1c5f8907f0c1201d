// Tabs by Web Locks, which a dead tab lets go of, and BroadcastChannel.
import type { Tabs } from './tabs.ts';

/** Undefined where one of the two is missing, as in Node, React Native and insecure pages. */
export function browserTabs(): Tabs | undefined {
  const locks = typeof navigator === 'undefined' ? undefined : navigator.locks;
  // Node has both, and no tabs.
  if (!locks || typeof BroadcastChannel === 'undefined' || typeof document === 'undefined') return undefined;
  return {
    id: crypto.randomUUID(),
    channel(name, onMessage) {
      const channel = new BroadcastChannel(name);
      channel.onmessage = ({ data }) => onMessage(data);
      return {
        post: (message) => channel.postMessage(message),
        close: () => channel.close(),
      };
    },
    hold(name, signal, held) {
      if (signal.aborted) return;
      const until = new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      locks
        .request(name, { signal }, () => {
          held();
          return until;
        })
        // Aborted while it waited, which is what the signal is for.
        .catch(() => {});
    },
  };
}
