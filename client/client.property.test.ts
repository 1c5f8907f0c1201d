// Whatever an edge and a network do, in any order: each item is handled once and in order, all are acknowledged in the end, and nobody is hammered.
import { Code } from '@connectrpc/connect';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Lane } from '../gen/carillon/v1/notification_pb.ts';
import { type Setting, setUp } from './client.fixture.ts';
import type { CarillonClient } from './client.ts';
import { settled } from './clock.fixture.ts';
import { memoryCursors } from './cursors.memory.ts';
import type { CursorStore } from './cursors.ts';
import { meshError, modelTransport } from './model-transport.fixture.ts';

/** What must be true is known from the commands alone. */
interface Model {
  /** Of rows that may be read elsewhere. */
  items: number;
}

const TOLD_MS = 2_000;

/** The real thing: a client that may crash and come back with its store. */
class Real {
  readonly setting: Setting = setUp();
  readonly cursors: CursorStore = memoryCursors();
  readonly handled: number[] = [];
  readonly #random: () => number;
  client: CarillonClient | undefined;
  state = 'idle';
  /** The handler waits until it is let go. */
  #release: (() => void) | undefined;
  slow = false;
  readonly told: { life: number; index: number }[] = [];
  #token = 1;
  readonly acks: (() => void)[] = [];
  holdAcks = false;
  #life = 0;

  constructor(random: () => number) {
    this.#random = random;
    this.setting.edge.tokens = new Set(['t1']);
    this.setting.edge.onAck = () =>
      this.holdAcks
        ? new Promise((resolve) => this.acks.push(() => resolve(this.#random() < 0.3 ? 'lost' : 'taken')))
        : Promise.resolve('taken');
    this.restart();
  }

  restart(): void {
    const life = ++this.#life;
    const alive = () => life === this.#life;
    const { cursors, setting } = this;
    const transport = modelTransport(setting.edge);
    const { client } = setting.client({
      // Whoever crashed writes nothing more, and no answer reaches it.
      cursors: {
        load: (key) => cursors.load(key),
        save: (key, text) => (alive() ? cursors.save(key, text) : undefined),
        remove: (key) => (alive() ? cursors.remove(key) : undefined),
      },
      transport: (url) => {
        const { unary, stream } = transport(url);
        return { stream, unary: (...call) => (alive() ? unary(...call) : new Promise(() => {})) };
      },
      token: () => `t${this.#token}`,
      random: this.#random,
      url: ['http://a.test', 'http://b.test'],
    });
    this.client = client;
    client.on('item', (item) => {
      if (!alive()) return new Promise(() => {});
      if (!this.slow) return void this.handled.push(item.seq);
      return new Promise<void>((resolve) => {
        this.#release = () => {
          this.handled.push(item.seq);
          resolve();
        };
      });
    });
    client.start();
  }

  /** Its process is gone: nothing that it was about to do is done. */
  crash(): void {
    const { client } = this;
    this.#release = undefined;
    this.restart();
    this.setting.edge.end();
    void client?.close();
  }

  release(): void {
    const release = this.#release;
    this.#release = undefined;
    release?.();
  }

  /** Refuses the next `count` streams, and remembers how long their client has to stay away. */
  refuse(count: number): void {
    const { edge } = this.setting;
    let left = count;
    edge.admit = () => {
      if (left-- <= 0) return undefined;
      this.told.push({ life: this.#life, index: edge.subscribed.length });
      return meshError('TOO_MANY_STREAMS', Code.ResourceExhausted, TOLD_MS);
    };
  }

  get life(): number {
    return this.#life;
  }

  expire(): void {
    this.#token++;
    this.setting.edge.tokens = new Set([`t${this.#token}`]);
    this.setting.edge.end(meshError('TOKEN_EXPIRED', Code.Unauthenticated));
  }
}

type Command = fc.AsyncCommand<Model, Real>;

const command = (name: string, run: (real: Real, model: Model) => unknown): Command => ({
  check: () => true,
  async run(model, real) {
    await run(real, model);
    await settled();
    check(real);
  },
  toString: () => name,
});

/** At every moment. */
function check({ setting: { edge }, handled, told, life }: Real): void {
  for (let index = 1; index < handled.length; index++)
    if (handled[index]! <= handled[index - 1]!)
      throw new Error(`${handled[index]} was handled after ${handled[index - 1]}`);
  const seen = new Set(handled);
  for (const seq of edge.acked)
    if (!seen.has(seq)) throw new Error(`${seq} was acknowledged and not handled`);
  expect(edge.open.length).toBeLessThanOrEqual(1);
  for (const refused of told) {
    const [first, next] = edge.subscribed.slice(refused.index - 1);
    if (first && next && refused.life === life)
      expect(next.atMs - first.atMs).toBeGreaterThanOrEqual(TOLD_MS);
  }
}

const commands = [
  fc.tuple(fc.integer({ min: 1, max: 60 }), fc.boolean()).map(([count, critical]) =>
    command(`add(${count}, ${critical})`, ({ setting: { edge } }, model) => {
      for (let index = 0; index < count; index++) edge.add(critical ? Lane.CRITICAL : Lane.NORMAL);
      model.items += count;
    }),
  ),
  fc.nat().map((index) =>
    command(`read(${index})`, ({ setting: { edge } }, model) => {
      const row = edge.rows[index % Math.max(1, model.items)];
      if (row && !row.read) edge.read(row);
    }),
  ),
  fc.nat().map((index) =>
    command(`repeat(${index})`, ({ setting: { edge } }) => {
      // Only what that stream was sent before: an edge does not run ahead of itself.
      const row = edge.rows[index % Math.max(1, edge.rows.length)];
      if (row && !edge.mute) edge.repeat(row);
    }),
  ),
  fc
    .boolean()
    .map((clean) =>
      command(`end(${clean})`, ({ setting: { edge } }) =>
        edge.end(clean ? undefined : meshError('STORE_UNAVAILABLE', Code.Unavailable, 1_500)),
      ),
    ),
  fc
    .tuple(fc.constantFrom('DRAIN', 'AGE', 'MOVED'), fc.option(fc.nat(6_000), { nil: undefined }))
    .map(([reason, ms]) =>
      command(`goAway(${reason}, ${ms})`, ({ setting: { edge } }) =>
        edge.goAway(reason, ms, reason === 'MOVED' ? 'http://other.test' : ''),
      ),
    ),
  fc.constant(command('expire', (real) => real.expire())),
  fc.constant(command('reauthenticate', ({ setting: { edge } }) => edge.reauthenticateAll())),
  fc.boolean().map((mute) =>
    command(`mute(${mute})`, ({ setting: { edge } }) => {
      edge.mute = mute;
    }),
  ),
  fc.boolean().map((hold) =>
    command(`holdAcks(${hold})`, (real) => {
      real.holdAcks = hold;
    }),
  ),
  fc
    .nat()
    .map((which) =>
      command(`answer(${which})`, ({ acks }) => acks.splice(which % Math.max(1, acks.length), 1)[0]?.()),
    ),
  fc.boolean().map((slow) =>
    command(`slow(${slow})`, (real) => {
      real.slow = slow;
    }),
  ),
  fc.constant(command('release', (real) => real.release())),
  fc.constant(command('crash', (real) => real.crash())),
  fc.constantFrom(0, 1, 2).map((fails) => command(`refuse(${fails})`, (real) => real.refuse(fails))),
  fc
    .integer({ min: 1, max: 70 })
    .map((tenths) => command(`pass(${tenths / 10} s)`, ({ setting }) => setting.pass(tenths * 100))),
  fc.constant(
    command('a silent minute', async ({ setting }) => {
      await setting.pass(60_000);
    }),
  ),
];

/** Everything is well from now on. */
async function heal(real: Real): Promise<void> {
  const { edge, pass } = real.setting;
  real.holdAcks = false;
  real.slow = false;
  edge.mute = false;
  edge.admit = () => undefined;
  for (const answer of real.acks.splice(0)) answer();
  for (let beats = 0; beats < 4; beats++) {
    real.release();
    await pass(25_000);
    edge.beat();
  }
  edge.add();
  await pass(25_000);
  real.release();
  await pass(1_000);
}

test('each item is handled once and in order, and acknowledged, whatever happens', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.commands(commands, { maxCommands: 40 }),
      fc.array(fc.double({ min: 0, max: 0.999_999, noNaN: true }), { minLength: 1, maxLength: 20 }),
      async (plan, chances) => {
        let drawn = 0;
        const real = new Real(() => chances[drawn++ % chances.length]!);
        await settled();
        try {
          await fc.asyncModelRun(() => ({ model: { items: 0 }, real }), plan);
          await heal(real);
          check(real);
          const all = real.setting.edge.rows.map(({ firstSeq }) => firstSeq).sort((a, b) => a - b);
          expect(real.handled).toEqual(all);
          expect([...real.setting.edge.acked].sort((a, b) => a - b)).toEqual(all);
          expect(real.client?.state).toBe('open');
        } finally {
          void real.client?.close();
        }
      },
    ),
    { numRuns: 150 },
  );
}, 120_000);
