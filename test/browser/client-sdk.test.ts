// The SDK in a real browser: one stream for its tabs, cursors that outlive a page, and whether somebody looks.
import { join } from 'node:path';
import { createClient } from '@connectrpc/connect';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { cursorStoreContract } from '../../client/cursors.contract.ts';
import type { CursorStore } from '../../client/cursors.ts';
import { Activity } from '../../gen/carillon/v1/edge_pb.ts';
import { IngestService } from '../../gen/carillon/v1/ingest_pb.ts';
import { DeliveryState } from '../../gen/carillon/v1/notification_pb.ts';
import { RouterService } from '../../gen/carillon/v1/router_pb.ts';
import { limits } from '../../runtime/limits.ts';
import { type RunningMesh, startRunningMesh } from '../support/running-mesh.ts';
import { backendTransport } from '../support/transports.ts';
import { until } from '../support/until.ts';
import { startChromium } from './chromium.ts';
import type { ClientSdkPage } from './client-sdk.page.ts';
import { servePage } from './page-server.ts';

/** What the page put there. */
declare const page: ClientSdkPage;

const opened = new AsyncDisposableStack();
let browser: Browser;
let mesh: RunningMesh;
let origin: string;

// By itself: the first time it is fetched.
beforeAll(async () => {
  ({ browser } = opened.use(await startChromium()));
}, limits.stackFetchMs);
beforeAll(async () => {
  mesh = opened.use(await startRunningMesh());
  ({ origin } = opened.use(await servePage(join(import.meta.dirname, 'client-sdk.page.ts'))));
}, 120_000);
afterAll(() => opened.disposeAsync());

/** A profile with nothing in it, and the calls that its pages make. */
async function profile(): Promise<{ context: BrowserContext; calls: string[] }> {
  const context = await browser.newContext();
  onTestFinished(() => context.close());
  const calls: string[] = [];
  context.on('request', (request) => {
    if (request.method() === 'POST') calls.push(new URL(request.url()).pathname.split('/').at(-1) ?? '');
  });
  return { context, calls };
}

const countOf = (calls: readonly string[], name: string) => calls.filter((call) => call === name).length;

async function start(tab: Page, userId: string): Promise<void> {
  const plan = { edge: mesh.edge, token: await mesh.tokenOf(userId) };
  await tab.evaluate((its) => page.start(its), plan);
  await until('a stream', async () => ((await states(tab)).at(-1) === 'open' ? true : undefined));
}

async function openTab(context: BrowserContext, userId: string): Promise<Page> {
  const tab = await context.newPage();
  await tab.goto(origin);
  await start(tab, userId);
  return tab;
}

const seqs = (tab: Page) => tab.evaluate(() => page.seqs);
const states = (tab: Page) => tab.evaluate(() => page.states);
const heard = (tab: Page, count: number) =>
  until(`${count} items`, async () => ((await seqs(tab)).length >= count ? true : undefined));

async function send(userId: string, count: number): Promise<string[]> {
  const ingest = createClient(IngestService, backendTransport(mesh.ingest));
  const ids: string[] = [];
  for (let index = 0; index < count; index++) {
    const { notificationId } = await ingest.send({
      notification: {
        audience: { kind: { case: 'users', value: { ids: [userId] } } },
        content: { title: `number ${index}` },
      },
    });
    ids.push(notificationId);
  }
  return ids;
}

async function delivered(ids: readonly string[]): Promise<void> {
  const ingest = createClient(IngestService, backendTransport(mesh.ingest));
  for (const notificationId of ids)
    await until('its ack', async () => {
      const { status } = await ingest.getNotification({ notificationId });
      return status?.deliveries[0]?.state === DeliveryState.DELIVERED ? true : undefined;
    });
}

async function presence(userId: string) {
  const router = createClient(RouterService, backendTransport(mesh.process.addresses.router ?? ''));
  return router.getPresence({ userId });
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

describe('the tabs of a browser', () => {
  test('share one stream, and go on when the one that has it is closed', async () => {
    const { context, calls } = await profile();
    const tabs = [
      await openTab(context, 'tabs'),
      await openTab(context, 'tabs'),
      await openTab(context, 'tabs'),
    ];
    const ids = await send('tabs', 10);
    for (const tab of tabs) await heard(tab, 10);
    expect(countOf(calls, 'Subscribe')).toBe(1);

    expect(await tabs[1]!.evaluate((id) => page.mark(id), ids[0]!)).toBe(1);
    for (const tab of tabs)
      await until('the count', async () =>
        (await tab.evaluate(() => page.counts.at(-1)?.unread)) === 9 ? true : undefined,
      );

    // Without a word to anybody.
    await tabs[0]!.close();
    ids.push(...(await send('tabs', 10)));
    for (const tab of tabs.slice(1)) {
      await heard(tab, 20);
      // The mark has the position between.
      expect(await seqs(tab)).toEqual([...upTo(10), ...upTo(10).map((seq) => seq + 11)]);
      expect(await tab.evaluate(() => page.resyncs.filter((reason) => reason !== 'NO_CURSOR'))).toEqual([]);
    }
    expect(countOf(calls, 'Subscribe')).toBe(2);
    await delivered(ids.slice(1));
  });

  test('have one cursor, which outlives them: a reload repeats nothing and misses nothing', async () => {
    const { context } = await profile();
    const tab = await openTab(context, 'reload');
    await send('reload', 5);
    await heard(tab, 5);
    await tab.goto('about:blank');
    const ids = await send('reload', 5);
    await tab.goto(origin);
    await start(tab, 'reload');
    await heard(tab, 5);
    expect(await seqs(tab)).toEqual([6, 7, 8, 9, 10]);
    expect(await tab.evaluate(() => page.resyncs)).toEqual([]);
    await delivered(ids);
  });

  test('say whether somebody looks at one of them', async () => {
    const { context } = await profile();
    const look = (tab: Page, state: DocumentVisibilityState) =>
      tab.evaluate((now) => {
        Object.defineProperty(document, 'visibilityState', { value: now, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
      }, state);
    const knows = (activity: Activity) =>
      until(`presence ${activity}`, async () =>
        (await presence('looker')).activity === activity ? true : undefined,
      );
    const tabs = [await openTab(context, 'looker'), await openTab(context, 'looker')];
    await knows(Activity.FOREGROUND);
    for (const tab of tabs) await look(tab, 'hidden');
    await knows(Activity.BACKGROUND);
    await look(tabs[1]!, 'visible');
    await knows(Activity.FOREGROUND);
    await tabs[1]!.close();
    await knows(Activity.BACKGROUND);
  });
});

describe.each(['indexedDb', 'localStorage'] as const)('cursors in %s', (name) => {
  cursorStoreContract(async () => {
    const { context } = await profile();
    const tab = await context.newPage();
    await tab.goto(origin);
    /** The page's store, by remote control. */
    const store: CursorStore = {
      load: async (key) =>
        (await tab.evaluate(([its, k]) => page.stores[its].load(k), [name, key] as const)) ?? undefined,
      save: (key, text) =>
        tab.evaluate(async ([its, k, t]) => page.stores[its].save(k, t), [name, key, text] as const),
      remove: (key) => tab.evaluate(async ([its, k]) => page.stores[its].remove(k), [name, key] as const),
    };
    const again = (): CursorStore => {
      const reloaded = tab.reload();
      return {
        load: (key) => reloaded.then(() => store.load(key)),
        save: (key, text) => reloaded.then(() => store.save(key, text)),
        remove: (key) => reloaded.then(() => store.remove(key)),
      };
    };
    return { store, again, write: (key, text) => store.save(key, text) };
  });
});
