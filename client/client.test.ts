// A client as its app sees it, against an edge in memory and with time in the test's hand.
import { Code } from '@connectrpc/connect';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Lane } from '../gen/carillon/v1/notification_pb.ts';
import { setUp, type Watched } from './client.fixture.ts';
import { settled } from './clock.fixture.ts';
import { memoryCursors } from './cursors.memory.ts';
import { meshError } from './model-transport.fixture.ts';

/** Starts it with a listener; answers the seqs that the listener got. */
async function started(watched: Watched): Promise<number[]> {
  const seqs: number[] = [];
  watched.client.on('item', ({ seq }) => seqs.push(seq));
  watched.client.start();
  onTestFinished(() => void watched.client.close());
  await settled();
  return seqs;
}

describe('a client', () => {
  test('gets each item once, in order, and acknowledges it within the delay, in one call', async () => {
    const { edge, pass, client } = setUp();
    const seqs = await started(client());
    for (let index = 0; index < 20; index++) edge.add();
    await pass(100);
    expect(edge.ackCalls).toEqual([]);
    await pass(200);
    expect(seqs).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    expect(edge.ackCalls.map(({ after, upto, extra }) => ({ after, upto, extra }))).toEqual([
      { after: 0, upto: 20, extra: [] },
    ]);
    expect(edge.ackCalls[0]?.traceparents).toHaveLength(20);
  });

  test('acknowledges at once at fifty items, and a critical one with all before it', async () => {
    const { edge, client } = setUp();
    await started(client());
    for (let index = 0; index < 50; index++) edge.add();
    await settled();
    expect(edge.acked.size).toBe(50);
    edge.add();
    await settled();
    expect(edge.acked.size).toBe(50);
    edge.add(Lane.CRITICAL);
    await settled();
    expect(edge.acked.size).toBe(52);
  });

  test('never acknowledges what a listener failed on, and what came after it', async () => {
    const { edge, pass, client } = setUp();
    const watched = client();
    watched.client.on('item', ({ seq }) => {
      if (seq === 3) throw new Error('no');
      return seq === 5 ? Promise.reject(new Error('later no')) : undefined;
    });
    await started(watched);
    for (let index = 0; index < 8; index++) edge.add();
    await pass(1_000);
    expect([...edge.acked].sort()).toEqual([1, 2, 4, 6, 7, 8]);
    expect(watched.errors).toEqual(['LISTENER', 'LISTENER']);
  });

  test('waits with an item until a listener that takes its time is done', async () => {
    const { edge, pass, client } = setUp();
    const watched = client();
    let done = () => {};
    watched.client.on('item', () => new Promise<void>((resolve) => (done = resolve)));
    const seqs = await started(watched);
    edge.add();
    edge.add();
    await pass(1_000);
    expect(seqs).toEqual([1]);
    expect(edge.acked.size).toBe(0);
    done();
    await pass(1_000);
    expect(seqs).toEqual([1, 2]);
    expect([...edge.acked]).toEqual([1]);
  });

  test('tells of updates and counts between the items they stand between', async () => {
    const { edge, pass, client } = setUp();
    const watched = client();
    const seqs = await started(watched);
    const row = edge.add();
    await pass(100);
    edge.read(row);
    edge.add();
    await pass(500);
    expect(seqs).toEqual([1, 3]);
    expect(watched.updates).toEqual([1]);
    expect(watched.counts.at(-1)).toEqual({ unseen: 0, unread: 0 });
    expect([...edge.acked]).toEqual([1, 3]);
  });

  test('goes on where it was after a restart, acknowledging what a crash left over', async () => {
    const { edge, pass, client } = setUp();
    const cursors = memoryCursors();
    const first = client({ cursors });
    await started(first);
    edge.add();
    edge.add();
    await settled();
    // Nothing more is heard of the first: it crashed before its acks went out.
    edge.end();
    expect(edge.acked.size).toBe(0);
    edge.add();
    const again = client({ cursors });
    const seqs = await started(again);
    await pass(500);
    expect(edge.last.request.cursor).toBe('e1/2');
    expect(seqs).toEqual([3]);
    expect([...edge.acked]).toEqual([1, 2, 3]);
    expect(again.resyncs).toEqual([]);
  });

  test.each([
    ['that is none', 'nonsense', 'CURSOR_MALFORMED'],
    ['from the future', 'e1/99', 'CURSOR_AHEAD'],
  ])('with a cursor %s drops it and says why the app has to look', async (_name, cursor, reason) => {
    const { edge, pass, client } = setUp();
    edge.add();
    const cursors = memoryCursors();
    cursors.load = () => JSON.stringify({ v: 1, cursor, seq: 9, owed: [[0, 9]] });
    const watched = client({ cursors });
    const seqs = await started(watched);
    await pass(1_000);
    edge.add();
    await pass(500);
    expect(watched.resyncs).toEqual([{ resume: 'reset', reason }]);
    expect(seqs).toEqual([2]);
    expect([...edge.acked]).toEqual([2]);
  });

  test('after a store that begins anew takes positions from the start, and drops the acks of the other', async () => {
    const { edge, pass, client } = setUp();
    const watched = client();
    const seqs = await started(watched);
    edge.add();
    edge.onAck = () => Promise.resolve('refused');
    await pass(300);
    expect(edge.ackCalls).toHaveLength(1);
    Object.assign(edge, { epoch: 'e2', head: 0 });
    edge.rows.length = 0;
    edge.onAck = () => Promise.resolve('taken');
    edge.end();
    await pass(1_000);
    expect(edge.ackCalls).toHaveLength(1);
    edge.add();
    await pass(500);
    expect(watched.resyncs.map(({ reason }) => reason)).toEqual(['NO_CURSOR', 'OTHER_EPOCH']);
    expect(seqs).toEqual([1, 1]);
    expect(edge.ackCalls.slice(1).map(({ after, upto }) => [after, upto])).toEqual([[0, 1]]);
  });

  test('does not acknowledge on a new line what it was handed on the one before', async () => {
    const { edge, pass, client } = setUp();
    const watched = client();
    let done = () => {};
    watched.client.on('item', () => new Promise<void>((resolve) => (done = resolve)));
    await started(watched);
    edge.add();
    await settled();
    Object.assign(edge, { epoch: 'e2', head: 0 });
    edge.rows.length = 0;
    edge.end();
    await pass(1_000);
    edge.add();
    done();
    await pass(1_000);
    expect(edge.ackCalls).toEqual([]);
    done();
    await pass(1_000);
    expect(edge.ackCalls.map(({ after, upto }) => [after, upto])).toEqual([[0, 1]]);
  });

  test('sends what is owed before it closes, and closes all the same when nobody answers', async () => {
    const { edge, pass, client } = setUp();
    const first = client();
    await started(first);
    edge.add();
    await settled();
    await first.client.close();
    expect(edge.acked.size).toBe(1);
    expect(edge.open).toEqual([]);

    const second = client();
    await started(second);
    edge.onAck = () => new Promise(() => {});
    edge.add();
    await settled();
    const closed = second.client.close();
    await pass(3_100);
    await closed;
    expect(second.client.state).toBe('closed');
  });

  test('can be closed and started in any order, and more than once', async () => {
    const { edge, client } = setUp();
    const { client: one } = client();
    await one.close();
    one.start();
    await one.close();
    expect(one.state).toBe('closed');
    const { client: two } = client();
    two.start();
    two.start();
    await settled();
    expect(edge.open).toHaveLength(1);
    await Promise.all([two.close(), two.close()]);
    expect(edge.open).toHaveLength(0);
  });

  test('lists and marks', async () => {
    const { edge, client } = setUp();
    const watched = client();
    await started(watched);
    const row = edge.add();
    const { items } = await watched.client.listInbox();
    expect(items.map(({ item }) => item?.notificationId)).toEqual([row.id]);
    await watched.client.mark({ mark: 2, notificationIds: [row.id] });
    expect(edge.marks.map(({ notificationIds }) => notificationIds)).toEqual([[row.id]]);
    edge.tokens = new Set();
    await expect(watched.client.mark({ mark: 2, upto: 1 })).rejects.toMatchObject({
      reason: 'TOKEN_EXPIRED',
    });
  });
});

describe('an iterator', () => {
  test('acknowledges an item when the next one is asked for, or when the loop is left', async () => {
    const { edge, pass, client } = setUp();
    const { client: one } = client();
    const items = one.items();
    one.start();
    onTestFinished(() => one.close());
    await settled();
    edge.add();
    edge.add();
    expect((await items.next()).value.seq).toBe(1);
    await pass(1_000);
    expect(edge.acked.size).toBe(0);
    expect((await items.next()).value.seq).toBe(2);
    await pass(1_000);
    expect(edge.acked.size).toBe(1);
    await items.return?.();
    await pass(1_000);
    expect(edge.acked.size).toBe(2);
  });

  test('that is slow leaves the rest with the mesh: the stream is read a bounded way ahead, and not given up', async () => {
    const { edge, pass, client } = setUp();
    const watched = client();
    const items = watched.client.items();
    watched.client.start();
    onTestFinished(() => watched.client.close());
    await settled();
    for (let index = 0; index < 1_000; index++) edge.add();
    await items.next();
    await pass(120_000);
    expect(edge.last.stream.waiting).toBeGreaterThan(700);
    expect(watched.states).not.toContain('waiting');
    for (let seq = 2; seq <= 1_000; seq++) expect((await items.next()).value.seq).toBe(seq);
    await pass(1_000);
    expect(edge.acked.size).toBe(999);
    expect(edge.subscribed).toHaveLength(1);
  });

  test('ends when the client is closed', async () => {
    const { client } = setUp();
    const { client: one } = client();
    const items = one.items();
    const next = items.next();
    await one.close();
    expect((await next).done).toBe(true);
    expect((await items.next()).done).toBe(true);
  });
});

describe('tokens', () => {
  test('one that expires in mid-stream is swapped without a reconnect', async () => {
    const { edge, pass, client } = setUp();
    let number = 0;
    await started(client({ token: () => `token-${++number}` }));
    edge.reauthenticateAll();
    await pass(100);
    expect(edge.swaps).toEqual([{ sessionId: edge.last.sessionId, token: 'token-2' }]);
    expect(edge.subscribed).toHaveLength(1);
  });

  test('one that expired ends the stream, and the next one resumes it', async () => {
    const { edge, pass, client } = setUp();
    let number = 0;
    edge.tokens = new Set(['token-1']);
    const seqs = await started(client({ token: () => `token-${++number}` }));
    edge.add();
    await pass(300);
    edge.tokens = new Set(['token-2']);
    edge.end(meshError('TOKEN_EXPIRED', Code.Unauthenticated));
    edge.add();
    await pass(500);
    expect(seqs).toEqual([1, 2]);
    expect(edge.last.caller.token).toBe('token-2');
    expect(edge.acked.size).toBe(2);
  });

  test('those that are refused one after the other end in `failed`, and `start` tries again', async () => {
    const { edge, pass, client } = setUp();
    edge.tokens = new Set();
    const watched = client();
    await started(watched);
    await pass(120_000);
    expect(watched.client.state).toBe('failed');
    expect(edge.subscribed).toHaveLength(6);
    edge.tokens = undefined;
    watched.client.start();
    await pass(100);
    expect(watched.client.state).toBe('open');
  });

  test('a callback that throws, or hangs, is asked again for as long as it takes', async () => {
    const { edge, pass, client } = setUp();
    let asked = 0;
    const watched = client({
      token: () => {
        asked++;
        if (asked === 1) throw new Error('no network');
        return asked === 2 ? new Promise<string>(() => {}) : 'token';
      },
    });
    await started(watched);
    await pass(30_000);
    expect(watched.client.state).toBe('open');
    expect(watched.errors).toEqual(['NO_TOKEN', 'NO_TOKEN']);
    expect(edge.subscribed).toHaveLength(1);
  });
});
