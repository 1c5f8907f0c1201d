// The stock web client in a real browser, on a page of another origin: 10,000 items in order with drops, nothing missed, nothing twice.
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { limits } from '../../runtime/limits.ts';
import { sendNumbered } from '../acceptance/numbered-sends.ts';
import { type RunningMesh, startRunningMesh } from '../support/running-mesh.ts';
import { startChromium } from './chromium.ts';
import { servePage } from './page-server.ts';
import type { Heard, HearingPlan, WireName } from './stock-web-client.page.ts';

const ITEMS = 10_000;
/** About ten drops over a run. */
const DROP_ONE_IN = 1_000;
const ACK_EVERY = 250;

const wires: Record<string, WireName> = {
  'Connect, protobuf': 'connect',
  'Connect, JSON': 'connect-json',
  'gRPC-Web': 'grpc-web',
};
const names = Object.keys(wires);

interface OpenPage {
  /** Resolves with the first Hello. */
  readonly hello: Promise<void>;
  readonly heard: Promise<Heard>;
  /** Calls for which the browser asked first whether it may, such as `Ack`. */
  readonly preflights: ReadonlySet<string>;
}

/** Opens the page in a profile of its own and lets it hear. */
async function openPage(browser: Browser, origin: string, plan: HearingPlan): Promise<OpenPage> {
  const hello = Promise.withResolvers<void>();
  const heard = Promise.withResolvers<Heard>();
  // Whoever waits for both learns of it; whoever waits for one must not leave the other one unhandled.
  const fail = (error: Error) => {
    hello.reject(error);
    heard.reject(error);
  };
  hello.promise.catch(() => undefined);
  heard.promise.catch(() => undefined);

  const context = await browser.newContext();
  const page = await context.newPage();
  page.on('pageerror', fail);
  page.on('crash', () => fail(new Error(`the page of ${plan.userId} crashed`)));
  await page.exposeFunction('onHello', () => hello.resolve());
  await page.exposeFunction('onHeard', (result: Heard) => heard.resolve(result));
  const preflights = new Set<string>();
  const devtools = await context.newCDPSession(page);
  devtools.on('Network.requestWillBeSent', ({ request }) => {
    if (request.method === 'OPTIONS') preflights.add(new URL(request.url).pathname.split('/').at(-1) ?? '');
  });
  await devtools.send('Network.enable');
  await page.goto(`${origin}/#${encodeURIComponent(JSON.stringify(plan))}`);
  return { hello: hello.promise, heard: heard.promise, preflights };
}

const opened = new AsyncDisposableStack();
let browser: Browser;

// By itself: the first time it is fetched.
beforeAll(async () => {
  ({ browser } = opened.use(await startChromium()));
}, limits.stackFetchMs);

afterAll(() => opened.disposeAsync());

describe('the stock web client in Chromium', () => {
  const pages = new Map<string, OpenPage>();
  let mesh: RunningMesh;
  let origin: string;

  beforeAll(async () => {
    mesh = opened.use(await startRunningMesh());
    ({ origin } = opened.use(await servePage(join(import.meta.dirname, 'stock-web-client.page.ts'))));
    for (const [index, name] of names.entries()) {
      const plan: HearingPlan = {
        edge: mesh.edge,
        userId: `web-${index}`,
        token: await mesh.tokenOf(`web-${index}`),
        wire: wires[name]!,
        seed: index + 1,
        items: ITEMS,
        dropOneIn: DROP_ONE_IN,
        ackEvery: ACK_EVERY,
      };
      pages.set(name, await openPage(browser, origin, plan));
    }
    const open = [...pages.values()];
    await Promise.all(open.map(({ hello }) => hello));
    await Promise.all([
      sendNumbered(
        mesh.ingest,
        names.map((_, index) => `web-${index}`),
        ITEMS,
      ),
      ...open.map(({ heard }) => heard),
    ]);
  }, 300_000);

  describe.each(names)('over %s', (name) => {
    test('hears every item once, in the order of seq, over drops that each resume at its cursor', async () => {
      const { items, drops, resumed } = await pages.get(name)!.heard;
      const breaks = items.flatMap(({ seq }, index) =>
        seq === index + 1 ? [] : [`item ${index + 1} came with seq ${seq}`],
      );
      expect(breaks.slice(0, 10)).toEqual([]);
      expect(items).toHaveLength(ITEMS);
      expect(new Set(items.map(({ title }) => title)).size).toBe(ITEMS);
      expect(drops).toBeGreaterThan(0);
      expect(resumed).toEqual(Array.from({ length: drops }, () => true));
    });

    test('acknowledges every item, once, in batches', async () => {
      const { acknowledged, ackCalls } = await pages.get(name)!.heard;
      expect(acknowledged).toBe(ITEMS);
      expect(ackCalls).toBeGreaterThan(1);
      expect(ackCalls).toBeLessThanOrEqual(ITEMS / ACK_EVERY + 1);
    });

    test('finds the same in its inbox, newest first and all of it unread', async () => {
      const { items, inbox } = await pages.get(name)!.heard;
      const others = inbox.items.filter(({ seq, title }, index) => {
        const heard = items[ITEMS - 1 - index];
        return seq !== heard?.seq || title !== heard.title;
      });
      expect(others.slice(0, 10)).toEqual([]);
      expect(inbox.items).toHaveLength(ITEMS);
      expect({ unseen: inbox.unseen, unread: inbox.unread }).toEqual({ unseen: ITEMS, unread: ITEMS });
    });

    test('was asked for by the browser before each kind of call, as the page is of another origin', () => {
      expect([...pages.get(name)!.preflights].sort()).toEqual(['Ack', 'ListInbox', 'Subscribe']);
    });
  });

  test('a header that the edge does not know is held back by the browser', async () => {
    const page = await browser.newPage();
    await page.goto(`${origin}/page.js`);
    const authorization = `Bearer ${await mesh.tokenOf('web-0')}`;
    const post = (headers: Record<string, string>) =>
      page.evaluate(
        ([url, more]) =>
          fetch(url, {
            method: 'POST',
            headers: { 'content-type': 'application/json', ...more },
            body: '{}',
          }).then(
            ({ status }) => status,
            ({ name }) => name,
          ),
        [`${mesh.edge}/carillon.v1.EdgeService/ListInbox`, { authorization, ...headers }] as const,
      );
    expect(await post({})).toBe(200);
    expect(await post({ 'x-somebody-elses': 'yes' })).toBe('TypeError');
    await page.close();
  });
});
