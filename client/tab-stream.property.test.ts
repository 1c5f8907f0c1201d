// Tabs that come, close, die, freeze and are deaf, in any order: each app gets each item once and in order, and all are acknowledged.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Browser, type Page } from './browser.fixture.ts';
import { settled } from './clock.fixture.ts';

interface Open {
  readonly page: Page;
  /** What was there when it came. */
  readonly since: number;
}

class Real {
  readonly browser = new Browser();
  readonly open: Open[] = [];

  page(which: number): Page | undefined {
    return this.open[which % Math.max(1, this.open.length)]?.page;
  }

  take(which: number): Page | undefined {
    return this.open.splice(which % Math.max(1, this.open.length), 1)[0]?.page;
  }
}

type Command = fc.AsyncCommand<object, Real>;

const command = (name: string, run: (real: Real) => unknown): Command => ({
  check: () => true,
  async run(_model, real) {
    await run(real);
    await settled();
    for (const { page } of real.open)
      for (let index = 1; index < page.seqs.length; index++)
        if (page.seqs[index]! <= page.seqs[index - 1]!)
          throw new Error(`${page.tab.id}: ${page.seqs[index]} came after ${page.seqs[index - 1]}`);
  },
  toString: () => name,
});

const commands = [
  fc.constant(
    command('open', async (real) => {
      const since = real.browser.setting.edge.head;
      if (real.open.length < 5) real.open.push({ page: await real.browser.open(), since });
    }),
  ),
  fc.integer({ min: 1, max: 40 }).map((count) =>
    command(`add(${count})`, ({ browser }) => {
      for (let index = 0; index < count; index++) browser.setting.edge.add();
    }),
  ),
  fc.nat().map((which) => command(`kill(${which})`, (real) => real.take(which)?.kill())),
  fc.nat().map((which) => command(`close(${which})`, (real) => void real.take(which)?.client.close())),
  fc.nat().map((which) => command(`freeze(${which})`, (real) => real.page(which)?.tab.freeze())),
  fc.nat().map((which) => command(`thaw(${which})`, (real) => real.page(which)?.tab.thaw())),
  fc.nat().map((which) => command(`deaf(${which})`, (real) => real.page(which)?.tab.thaw('deaf'))),
  fc.constant(command('end', ({ browser }) => browser.setting.edge.end())),
  fc.constant(command('goAway', ({ browser }) => browser.setting.edge.goAway('DRAIN', 1_000))),
  fc
    .integer({ min: 1, max: 30 })
    .map((tenths) => command(`pass(${tenths / 10} s)`, ({ browser }) => browser.setting.pass(tenths * 100))),
];

test('each app gets each item once and in order, and all are acknowledged, whatever its tabs do', async () => {
  await fc.assert(
    fc.asyncProperty(fc.commands(commands, { maxCommands: 40 }), async (plan) => {
      const real = new Real();
      const { browser, open } = real;
      const { edge, pass } = browser.setting;
      try {
        open.push({ page: await browser.open(), since: 0 });
        await fc.asyncModelRun(() => ({ model: {}, real }), plan);
        // All is well from now on; somebody is there to say so.
        for (const { page } of open) page.tab.thaw();
        open.push({ page: await browser.open(), since: edge.head });
        await pass(15_000);
        edge.add();
        await pass(2_000);
        const all = edge.rows.map(({ firstSeq }) => firstSeq);
        for (const { page, since } of open) {
          const missing = all.filter((seq) => seq > since && !page.seqs.includes(seq));
          expect(missing).toEqual([]);
        }
        expect([...edge.acked].sort((a, b) => a - b)).toEqual(all);
        expect(edge.open).toHaveLength(1);
      } finally {
        browser.close();
      }
    }),
    { numRuns: 100 },
  );
}, 120_000);
