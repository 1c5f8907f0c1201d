// A client and a model edge with one clock: what the app was told, and time in the test's hand.
import { ManualClock } from '../runtime/clock.manual.ts';
import { CarillonClient, type ClientOptions, type Counts, type Resync } from './client.ts';
import { clockOf, settled } from './clock.fixture.ts';
import { EdgeModel } from './edge-model.fixture.ts';
import { modelTransport } from './model-transport.fixture.ts';

export interface Setting {
  readonly manual: ManualClock;
  readonly edge: EdgeModel;
  /** Lets time pass in small steps, with everything that happens meanwhile. */
  pass(ms: number): Promise<void>;
  client(options?: Partial<ClientOptions>): Watched;
}

/** A client that was not started, and what it says. */
export interface Watched {
  readonly client: CarillonClient;
  readonly states: string[];
  readonly errors: string[];
  readonly resyncs: Resync[];
  readonly counts: Counts[];
  readonly updates: number[];
}

const STEP_MS = 100;

export function setUp(): Setting {
  const manual = new ManualClock();
  const clock = clockOf(manual);
  const edge = new EdgeModel(clock);
  const transport = modelTransport(edge);
  return {
    manual,
    edge,
    async pass(ms) {
      await settled();
      for (let left = ms; left > 0; left -= STEP_MS) {
        manual.advance(Math.min(STEP_MS, left));
        await settled();
      }
    },
    client(options = {}) {
      const client = new CarillonClient({
        url: 'http://edge.test',
        token: () => 'token',
        transport,
        clock,
        random: () => 0.5,
        ...options,
      });
      const watched: Watched = { client, states: [], errors: [], resyncs: [], counts: [], updates: [] };
      client.on('state', (state) => watched.states.push(state));
      client.on('error', ({ reason }) => watched.errors.push(reason));
      client.on('resync', (resync) => watched.resyncs.push(resync));
      client.on('counts', (counts) => watched.counts.push(counts));
      client.on('update', ({ firstSeq }) => watched.updates.push(firstSeq));
      return watched;
    },
  };
}
