// When a stream ends: how long the client waits, where it goes next, and that it never hammers.
import { Code } from '@connectrpc/connect';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Activity } from '../gen/carillon/v1/edge_pb.ts';
import { type Setting, setUp, type Watched } from './client.fixture.ts';
import { settled } from './clock.fixture.ts';
import { limits } from './limits.ts';
import { meshError } from './model-transport.fixture.ts';

async function started(watched: Watched): Promise<Watched> {
  watched.client.on('item', () => {});
  watched.client.start();
  onTestFinished(() => void watched.client.close());
  await settled();
  return watched;
}

const urlsOf = ({ edge }: Setting): string[] => edge.subscribed.map(({ caller }) => caller.url);
const gapsOf = ({ edge }: Setting): number[] =>
  edge.subscribed.slice(1).map(({ atMs }, index) => atMs - edge.subscribed[index]!.atMs);
const down = () => meshError('STORE_UNAVAILABLE', Code.Unavailable);

describe('waits', () => {
  test('double with each failure up to their ceiling, and are drawn from nothing to the ceiling', async () => {
    const setting = setUp();
    setting.edge.admit = down;
    await started(setting.client({ random: () => 0.999_999 }));
    await setting.pass(60_000);
    const gaps = gapsOf(setting);
    expect(gaps.slice(0, 6)).toEqual(
      [500, 1_000, 2_000, 4_000, 8_000, 8_000].map((ms) => expect.closeTo(ms, -2)),
    );
    expect(Math.max(...gaps)).toBeLessThanOrEqual(limits.reconnectMaxMs + 100);
  });

  test('are as long as the edge asks for', async () => {
    const setting = setUp();
    setting.edge.admit = () => meshError('TOO_MANY_STREAMS', Code.ResourceExhausted, 7_300);
    await started(setting.client());
    await setting.pass(30_000);
    expect(gapsOf(setting)).toEqual([7_300, 7_300, 7_300, 7_300].map((ms) => expect.closeTo(ms, -2)));
  });

  test('begin at the shortest again after a stream that lasted, and not before', async () => {
    const setting = setUp();
    const { edge, pass, manual } = setting;
    await started(setting.client({ random: () => 0.999_999 }));
    const waits: number[] = [];
    for (let drops = 0; drops < 4; drops++) {
      await pass(limits.stableMs - 1_000);
      const endedMs = manual.monotonic();
      edge.end();
      while (edge.open.length === 0) await pass(100);
      waits.push(edge.last.atMs - endedMs);
    }
    expect(waits).toEqual([500, 1_000, 2_000, 4_000].map((ms) => expect.closeTo(ms, -2)));
    await pass(limits.stableMs + 1_000);
    const before = edge.subscribed.length;
    edge.end();
    await pass(600);
    expect(edge.subscribed.length).toBe(before + 1);
  });
});

describe('silence', () => {
  test('of two heartbeats and a little is a dead stream; heartbeats keep it alive', async () => {
    const { edge, pass, client } = setUp();
    await started(client());
    for (let beats = 0; beats < 8; beats++) {
      await pass(25_000);
      edge.beat();
    }
    await pass(100);
    expect(edge.subscribed).toHaveLength(1);
    edge.mute = true;
    edge.add();
    await pass(54_000);
    expect(edge.subscribed).toHaveLength(1);
    await pass(2_000);
    expect(edge.subscribed).toHaveLength(2);
    expect(edge.subscribed[0]?.stream.over).toBe(true);
  });

  test('is not waited for when a call says that the session is gone', async () => {
    const { edge, pass, client } = setUp();
    const watched = await started(client());
    edge.mute = true;
    edge.forgotten.add(edge.last.sessionId);
    watched.client.setActivity(Activity.FOREGROUND);
    await pass(600);
    expect(edge.subscribed).toHaveLength(2);
    expect(edge.last.request.activity).toBe(Activity.FOREGROUND);
  });

  test('before Hello is one too', async () => {
    const { edge, pass, client } = setUp();
    edge.admit = () => ({ case: undefined });
    const watched = await started(client());
    await pass(limits.connectMs + 600);
    expect(watched.errors).toEqual(['SILENT']);
    expect(edge.subscribed).toHaveLength(2);
  });
});

describe('a GoAway', () => {
  test('is obeyed to the moment: the stream goes on until it is time, and acks go out at once', async () => {
    const setting = setUp();
    const { edge, pass, client } = setting;
    const watched = await started(client());
    await pass(20_000);
    edge.add();
    edge.goAway('DRAIN', 4_000);
    await settled();
    expect(watched.client.state).toBe('leaving');
    expect(edge.acked.size).toBe(1);
    await pass(3_800);
    edge.add();
    await pass(100);
    expect(edge.subscribed).toHaveLength(1);
    await pass(200);
    expect(edge.subscribed).toHaveLength(2);
    await pass(500);
    expect(edge.open).toHaveLength(1);
    expect(edge.acked.size).toBe(2);
  });

  test('is obeyed when the edge ends the stream before', async () => {
    const { edge, pass, client } = setUp();
    await started(client());
    await pass(20_000);
    edge.goAway('DRAIN', 4_000);
    await pass(1_000);
    edge.end(down());
    await pass(2_900);
    expect(edge.subscribed).toHaveLength(1);
    await pass(200);
    expect(edge.subscribed).toHaveLength(2);
  });

  test('that comes again and again right after Hello does not make the client hammer', async () => {
    const setting = setUp();
    const { edge, pass, client } = setting;
    edge.admit = () => ({ case: 'goAway', value: { reason: 'DRAIN', edge: '' } });
    await started(client({ random: () => 0.999_999 }));
    await pass(60_000);
    expect(edge.subscribed.length).toBeLessThan(14);
  });
});

describe('another edge', () => {
  const LB = 'http://edge.test';
  const moved = (edge: string) => ({ case: 'goAway', value: { reason: 'MOVED', edge } }) as const;

  test('that is named is gone to at once; the next time the given address is asked again', async () => {
    const setting = setUp();
    const { edge, pass, client } = setting;
    edge.admit = (_request, { url }) => (url === LB ? moved('http://edge-1.test') : undefined);
    await started(client());
    await pass(200);
    expect(urlsOf(setting)).toEqual([LB, 'http://edge-1.test']);
    await pass(20_000);
    edge.end();
    await pass(1_000);
    expect(urlsOf(setting).slice(2)).toEqual([LB, 'http://edge-1.test']);
    expect(edge.subscribed.every(({ request }) => request.mayRedirect)).toBe(true);
  });

  test('that sends on once more, or does not let in: the given one keeps us, for a minute', async () => {
    for (const second of [moved('http://edge-2.test'), down()]) {
      const setting = setUp();
      const { edge, pass, client } = setting;
      edge.admit = (request, { url }) => {
        if (!request.mayRedirect) return undefined;
        return url === LB ? moved('http://edge-1.test') : second;
      };
      await started(client());
      await pass(2_000);
      expect(urlsOf(setting)).toEqual([LB, 'http://edge-1.test', LB]);
      expect(edge.last.request.mayRedirect).toBe(false);
      expect(edge.open).toHaveLength(1);
      await pass(limits.stayMs);
      edge.admit = () => undefined;
      edge.end();
      await pass(1_000);
      expect(edge.last.request.mayRedirect).toBe(true);
    }
  });

  test('is never gone to without TLS when the given one has it, nor when the app does not allow it', async () => {
    for (const options of [{ url: 'https://edge.test' }, { mayRedirect: false }]) {
      const setting = setUp();
      const { edge, pass, client } = setting;
      edge.admit = () => (edge.subscribed.length === 1 ? moved('http://edge-1.test') : undefined);
      await started(client(options));
      await pass(2_000);
      expect(new Set(urlsOf(setting)).size).toBe(1);
      expect(edge.open).toHaveLength(1);
    }
  });

  test('of those that are given is tried when one fails', async () => {
    const setting = setUp();
    const { edge, pass, client } = setting;
    edge.admit = (_request, { url }) => (url === 'http://c.test' ? undefined : down());
    await started(client({ url: ['http://a.test', 'http://b.test', 'http://c.test'] }));
    await pass(5_000);
    expect(urlsOf(setting)).toEqual(['http://a.test', 'http://b.test', 'http://c.test']);
    expect(edge.open).toHaveLength(1);
  });
});

describe('acks', () => {
  test('that failed are repeated: later on the same stream, at once on the next one', async () => {
    const { edge, pass, client } = setUp();
    await started(client());
    edge.onAck = () => Promise.resolve('refused');
    edge.add();
    await pass(300);
    expect(edge.ackCalls).toHaveLength(1);
    edge.onAck = () => Promise.resolve('taken');
    await pass(2_000);
    expect(edge.acked.size).toBe(1);

    edge.onAck = () => Promise.resolve('lost');
    edge.add();
    await pass(300);
    edge.end();
    edge.onAck = () => Promise.resolve('taken');
    await pass(1_000);
    expect(edge.ackCalls.at(-1)?.sessionId).toBe(edge.last.sessionId);
    expect(edge.ackCalls.at(-1)?.upto).toBe(2);
  });

  test('go out one call at a time, and what comes meanwhile in the next', async () => {
    const { edge, pass, client } = setUp();
    await started(client());
    const answers: (() => void)[] = [];
    edge.onAck = () => new Promise((resolve) => answers.push(() => resolve('taken')));
    for (let index = 0; index < 120; index++) edge.add();
    await pass(1_000);
    expect(edge.ackCalls).toHaveLength(1);
    answers.shift()?.();
    await pass(500);
    expect(edge.ackCalls.map(({ after, upto }) => [after, upto])).toEqual([
      [0, 50],
      [50, 120],
    ]);
  });
});
