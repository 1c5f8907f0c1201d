// One stream for all tabs: what each app sees, who acknowledges, and what happens when the leader dies.
import { describe, expect, onTestFinished, test } from 'vitest';
import { Activity } from '../gen/carillon/v1/edge_pb.ts';
import { Browser } from './browser.fixture.ts';
import { settled } from './clock.fixture.ts';
import { limits } from './limits.ts';

function openBrowser(): Browser {
  const browser = new Browser();
  onTestFinished(() => browser.close());
  return browser;
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

describe('the tabs of a browser', () => {
  test('share one stream: each app gets each item once, and one ack goes out', async () => {
    const browser = openBrowser();
    const { edge, pass } = browser.setting;
    const pages = [await browser.open(), await browser.open(), await browser.open()];
    expect(edge.subscribed).toHaveLength(1);
    for (let index = 0; index < 10; index++) edge.add();
    edge.read(edge.rows[0]!);
    await pass(500);
    for (const { seqs, updates, states, counts } of pages) {
      expect(seqs).toEqual(upTo(10));
      expect(updates).toEqual([1]);
      expect(states.at(-1)).toBe('open');
      expect(counts.at(-1)).toEqual({ unseen: 9, unread: 9 });
    }
    expect(edge.ackCalls).toHaveLength(1);
  });

  test('of two users have a stream each, as have two devices', async () => {
    const browser = openBrowser();
    await browser.open();
    await browser.open({ user: 'bob' });
    await browser.open({ deviceId: 'tablet' });
    expect(browser.setting.edge.open).toHaveLength(3);
  });

  test('go on when the leader dies: nothing is missed, repeated, or left without its ack', async () => {
    const browser = openBrowser();
    const { edge, pass } = browser.setting;
    const first = await browser.open();
    const second = await browser.open();
    const third = await browser.open();
    for (let index = 0; index < 5; index++) edge.add();
    await settled();
    // It had handed on five, and acknowledged none.
    expect(edge.acked.size).toBe(0);
    await first.kill();
    expect(edge.acked.size).toBe(5);
    for (let index = 0; index < 5; index++) edge.add();
    await pass(1_000);
    await second.kill();
    edge.add();
    await pass(1_000);
    expect(second.seqs).toEqual(upTo(10));
    expect(third.seqs).toEqual(upTo(11));
    expect(edge.acked.size).toBe(11);
    expect(edge.subscribed).toHaveLength(3);
    expect(third.resyncs.filter(({ reason }) => reason !== 'NO_CURSOR')).toEqual([]);
  });

  test('acknowledge what they have handled when they lead, though the leader before had not', async () => {
    const browser = openBrowser();
    const { edge, pass } = browser.setting;
    const slow = await browser.open();
    slow.client.on('item', () => new Promise(() => {}));
    const second = await browser.open();
    for (let index = 0; index < 3; index++) edge.add();
    await pass(500);
    expect(edge.acked.size).toBe(0);
    await slow.kill();
    await pass(500);
    expect(second.seqs).toEqual(upTo(3));
    expect([...edge.acked]).toEqual(upTo(3));
  });

  test('drop what the next leader has to read again, as it had not heard everything', async () => {
    const browser = openBrowser();
    const { edge, pass } = browser.setting;
    const first = await browser.open();
    const behind = await browser.open();
    const third = await browser.open();
    behind.tab.freeze();
    for (let index = 0; index < 3; index++) edge.add();
    await settled();
    behind.tab.thaw('deaf');
    await first.kill();
    await pass(500);
    expect(edge.last.request.cursor).toBe('e1/0');
    expect(behind.seqs).toEqual(upTo(3));
    expect(third.seqs).toEqual(upTo(3));
  });

  test('keep the cursor stored, whoever leads', async () => {
    const browser = openBrowser();
    const { edge, pass } = browser.setting;
    const first = await browser.open();
    const second = await browser.open();
    edge.add();
    await pass(500);
    await first.kill();
    edge.add();
    await pass(500);
    await second.kill();
    edge.add();
    const third = await browser.open();
    await pass(500);
    expect(third.seqs).toEqual([3]);
    expect(third.resyncs).toEqual([]);
  });

  test('are led by the next one when the leader closes', async () => {
    const browser = openBrowser();
    const { edge, pass } = browser.setting;
    const first = await browser.open();
    const second = await browser.open();
    edge.add();
    await settled();
    await first.client.close();
    expect(edge.acked.size).toBe(1);
    edge.add();
    await pass(500);
    expect(second.seqs).toEqual([1, 2]);
    expect(edge.acked.size).toBe(2);
  });

  test('that were frozen, or did not hear everything, get what they missed', async () => {
    const browser = openBrowser();
    const { edge, pass } = browser.setting;
    await browser.open();
    const frozen = await browser.open();
    const deaf = await browser.open();
    edge.add();
    await pass(100);
    for (const { tab } of [frozen, deaf]) tab.freeze();
    for (let index = 0; index < 5; index++) edge.add();
    await pass(100);
    frozen.tab.thaw();
    deaf.tab.thaw('deaf');
    await pass(100);
    expect(frozen.seqs).toEqual(upTo(6));
    expect(deaf.seqs).toEqual([1]);
    edge.add();
    await pass(100);
    expect(deaf.seqs).toEqual(upTo(7));
    expect(edge.subscribed).toHaveLength(1);
  });

  test('whose app is slow skip what the leader keeps no more, and say so', async () => {
    const browser = openBrowser();
    const { edge, pass } = browser.setting;
    await browser.open();
    const slow = await browser.open();
    let release = () => {};
    let slowly = true;
    slow.client.on('item', () => (slowly ? new Promise<void>((resolve) => (release = resolve)) : undefined));
    for (let index = 0; index < 1_000; index++) edge.add();
    await pass(1_000);
    expect(edge.acked.size).toBe(1_000);
    slowly = false;
    release();
    await pass(1_000);
    expect(slow.resyncs.at(-1)).toEqual({ resume: 'partial', reason: 'TAB_BEHIND' });
    expect(slow.seqs.length).toBeLessThanOrEqual(limits.feedCount + 1);
    edge.add();
    await pass(500);
    expect(slow.seqs.at(-1)).toBe(1_001);
  });

  test('are in the foreground when one of them is, and a dead one does not count', async () => {
    const browser = openBrowser();
    const { edge, pass } = browser.setting;
    const activity = (current: Activity) => ({ current: () => current, listen: () => () => {} });
    const leader = await browser.open({ activity: activity(Activity.BACKGROUND) });
    await pass(100);
    expect(edge.last.request.activity).toBe(Activity.BACKGROUND);
    const front = await browser.open({ activity: activity(Activity.FOREGROUND) });
    await pass(100);
    expect(edge.activities.at(-1)?.activity).toBe(Activity.FOREGROUND);
    front.tab.kill();
    await pass(100);
    expect(edge.activities.at(-1)?.activity).toBe(Activity.BACKGROUND);
    // The next leader is in the background and speaks for the other one, too.
    await browser.open({ activity: activity(Activity.BACKGROUND) });
    await browser.open({ activity: activity(Activity.FOREGROUND) });
    await leader.kill();
    await pass(100);
    const said = edge.activities.filter(({ sessionId }) => sessionId === edge.last.sessionId);
    expect(said.at(-1)?.activity ?? edge.last.request.activity).toBe(Activity.FOREGROUND);
  });

  test('mark through the leader, and through the next one when it dies before it answers', async () => {
    const browser = openBrowser();
    const { edge, pass } = browser.setting;
    const first = await browser.open();
    const second = await browser.open();
    const third = await browser.open();
    const { marked } = await third.client.mark({ mark: 2, notificationIds: ['n1'] });
    expect(marked).toBe(1);
    first.tab.freeze();
    const left = [second, third].map(({ client }) => client.mark({ mark: 2, notificationIds: ['n2'] }));
    await first.kill();
    await pass(1_000);
    for (const answer of await Promise.all(left)) expect(answer.marked).toBe(1);
    edge.tokens = new Set();
    await expect(third.client.mark({ mark: 2, upto: 3 })).rejects.toMatchObject({ reason: 'TOKEN_EXPIRED' });
  });

  test('know whose they are by their tokens', async () => {
    const browser = openBrowser();
    const tokenOf = (sub: string) => `h.${btoa(JSON.stringify({ sub, tenant: 't' }))}.s`;
    for (const user of ['ada', 'ada', 'bob']) await browser.open({ user: '', token: () => tokenOf(user) });
    expect(browser.setting.edge.open).toHaveLength(2);
  });
});
