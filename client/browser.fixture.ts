// Pages of one browser on one model edge: opened, closed and killed by a test, with what each app was handed.

import { type Setting, setUp, type Watched } from './client.fixture.ts';
import type { CarillonClient, ClientOptions } from './client.ts';
import { settled } from './clock.fixture.ts';
import { memoryCursors } from './cursors.memory.ts';
import { modelTransport } from './model-transport.fixture.ts';
import { BrowserModel, type TestTab } from './tabs.fixture.ts';

export interface Page extends Watched {
  readonly tab: TestTab;
  readonly seqs: number[];
  /** The tab is gone, with everything that it was about to do. */
  kill(): Promise<void>;
}

export class Browser {
  readonly setting: Setting = setUp();
  readonly #model = new BrowserModel();
  readonly #cursors = memoryCursors();
  readonly #clients: CarillonClient[] = [];

  async open(options: Partial<ClientOptions> = {}): Promise<Page> {
    const tab = this.#model.tab();
    const dead = new AbortController();
    const alive = () => !dead.signal.aborted;
    const cursors = this.#cursors;
    const transport = modelTransport(this.setting.edge);
    const watched = this.setting.client({
      tabs: tab,
      user: 'ada',
      // Whoever was killed writes nothing more, no answer reaches it, and its streams break.
      cursors: {
        load: (key) => cursors.load(key),
        save: (key, text) => (alive() ? cursors.save(key, text) : undefined),
        remove: (key) => (alive() ? cursors.remove(key) : undefined),
      },
      transport: (url) => {
        const { unary, stream } = transport(url);
        return {
          unary: (...call) => (alive() ? unary(...call) : new Promise(() => {})),
          stream: (method, signal, ...call) =>
            alive()
              ? stream(method, AbortSignal.any([dead.signal, ...(signal ? [signal] : [])]), ...call)
              : new Promise(() => {}),
        };
      },
      ...options,
    });
    this.#clients.push(watched.client);
    const seqs: number[] = [];
    watched.client.on('item', ({ seq }) => {
      if (!alive()) return new Promise(() => {});
      seqs.push(seq);
    });
    watched.client.start();
    await settled();
    const kill = async () => {
      dead.abort();
      tab.kill();
      await settled();
    };
    return { ...watched, tab, seqs, kill };
  }

  close(): void {
    for (const client of this.#clients) void client.close();
  }
}
