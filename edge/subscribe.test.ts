// How a stream begins, and everything that can keep it from beginning: token, device, room, the right edge; nothing is read before.
import { describe, expect, test } from 'vitest';
import { limits } from '../runtime/limits.ts';
import type { Database } from '../storage/database.ts';
import { defaultAdmission } from './admission.ts';
import { FakeStream } from './client-stream.fixture.ts';
import { helloed, type TestEdgeOptions, testMesh } from './edge.fixture.ts';
import { settled } from './hub.fixture.ts';

/** `queries`: those that were asked since the edge opened, the looks for revocations left out. */
async function setUp(options: TestEdgeOptions = {}) {
  const mesh = await testMesh();
  const asked: string[] = [];
  const counting = (db: Database): Database => ({
    ...db,
    query: (query) => {
      asked.push(query.name ?? query.text);
      return db.query(query);
    },
    transaction: (work) => db.transaction(work),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
  const own = await mesh.edge('edge-1', { db: counting, ...options });
  asked.length = 0;
  return {
    ...mesh,
    ...own,
    another: mesh.edge,
    queries: () => asked.filter((name) => name !== 'revocations-since'),
  };
}

describe('a token', () => {
  test('that takes a while to be checked opens the stream then', async () => {
    const { subscribe, tokens, edge } = await setUp();
    tokens.slow = true;
    const stream = subscribe();
    await settled();
    expect([edge.streams, stream.frames]).toEqual([0, []]);
    tokens.answer();
    await helloed(stream);
  });

  test('whose client goes meanwhile leaves nothing behind', async () => {
    const { subscribe, tokens, edge, presence, queries } = await setUp();
    tokens.slow = true;
    const streams = Array.from({ length: 50 }, () => subscribe());
    for (const stream of streams) stream.close('lost');
    tokens.answer();
    await settled();
    expect([edge.streams, presence.told, queries()]).toEqual([0, [], []]);
  });

  test('that is none, or none any more, ends the stream with its reason', async () => {
    const { subscribe, tokens, clock } = await setUp();
    expect(subscribe({}, new Headers()).error?.reason).toBe('UNAUTHENTICATED');
    expect(subscribe({}, new Headers({ authorization: 'Bearer nonsense' })).error?.reason).toBe(
      'UNAUTHENTICATED',
    );
    const expired = tokens.of('ada', { ttlMs: 1_000 });
    clock.advance(1_000);
    expect(subscribe({}, expired).error?.reason).toBe('TOKEN_EXPIRED');
    tokens.slow = true;
    const late = subscribe({}, expired);
    tokens.answer();
    await settled();
    expect(late.error?.reason).toBe('TOKEN_EXPIRED');
  });

  test('that is none, a thousand times from one address, is not looked at for long', async () => {
    const { subscribe, tokens } = await setUp();
    class FarStream extends FakeStream {
      override readonly remoteAddress = '203.0.113.5';
    }
    const bad = new Headers({ authorization: 'Bearer nonsense' });
    let refused = 0;
    for (let count = 0; count < 1_000; count++)
      if (subscribe({}, bad, new FarStream()).error?.reason === 'TOO_MANY_ATTEMPTS') refused++;
    expect(tokens.looks).toBe(limits.badTokensPerAddressBurstCount);
    expect(refused).toBe(1_000 - limits.badTokensPerAddressBurstCount);
    // Another address, and this machine, are served.
    expect(subscribe().error).toBeUndefined();
  });
});

describe('a device', () => {
  test('is what the token says, and nothing else', async () => {
    const { subscribe, tokens, edge } = await setUp();
    const bound = tokens.of('ada', { deviceId: 'phone' });
    expect(subscribe({ deviceId: 'laptop' }, bound).error?.reason).toBe('PERMISSION_DENIED');
    const streams = [
      subscribe({}, bound),
      subscribe({ deviceId: 'phone' }, bound),
      subscribe({ deviceId: 'laptop' }),
    ];
    await Promise.all(streams.map(helloed));
    const [held] = edge.port.held([{ tenant: 'default', userId: 'ada' }]);
    expect(held?.streams.map(({ deviceId }) => deviceId)).toEqual(['laptop', 'phone', 'phone']);
  });

  test('has room for some streams; past it the newest takes over from the oldest', async () => {
    const { subscribe } = await setUp();
    const streams: FakeStream[] = [];
    for (let count = 0; count < limits.streamsPerDeviceCount + 2; count++) {
      streams.push(subscribe({ deviceId: 'phone' }));
      await settled();
    }
    const other = subscribe({ deviceId: 'laptop' });
    expect(streams.map(({ over }) => over)).toEqual(streams.map((_, at) => at < 2));
    expect(streams[0]!.error).toMatchObject({
      reason: 'TOO_MANY_STREAMS',
      retryAfterMs: expect.any(Number),
    });
    expect(streams[0]!.error!.retryAfterMs).toBeGreaterThanOrEqual(limits.deviceRetryMs[0]);
    expect(other.over).toBe(false);
  });
});

describe('room', () => {
  test('is counted by the address of the client, through proxies that are trusted', async () => {
    const { subscribe, tokens } = await setUp({ config: { edgeStreamsPerAddress: 2 } });
    const from = (forwarded: string | undefined) => {
      const headers = tokens.of(`u${tokens.looks}`);
      if (forwarded !== undefined) headers.set('x-forwarded-for', forwarded);
      return subscribe({}, headers);
    };
    const first = from('203.0.113.5');
    expect([first, from('6.6.6.6, 203.0.113.5')].map(({ error }) => error)).toEqual([undefined, undefined]);
    expect(from('203.0.113.5').error).toMatchObject({
      reason: 'TOO_MANY_STREAMS',
      retryAfterMs: expect.any(Number),
    });
    expect(from('203.0.113.6').error).toBeUndefined();
    expect(Array.from({ length: 5 }, () => from(undefined).error)).toEqual(Array(5).fill(undefined));
    first.close('client');
    await settled();
    expect(from('203.0.113.5').error).toBeUndefined();
  });

  test('is looked for before anything is read', async () => {
    const admission = { ...defaultAdmission, beginsBurstCount: 0, beginsPerSecond: 0 };
    const { subscribe, queries } = await setUp({ admission });
    const errors = Array.from({ length: 100 }, () => subscribe().error);
    await settled();
    expect(errors.every((error) => error?.reason === 'TOO_MANY_STREAMS' && error.retryAfterMs)).toBe(true);
    expect(queries()).toEqual([]);
  });
});

describe('an edge that is not the user’s', () => {
  const OTHER = 'https://edge-2.test';
  /** Users of each edge, by the present ring. */
  const usersOf = ({ ownership }: { ownership: Awaited<ReturnType<typeof setUp>>['ownership'] }) => {
    const owned = new Map<string, string[]>();
    for (let at = 0; at < 100; at++) {
      const userId = `u${at}`;
      const node = ownership.owner({ tenant: 'default', userId })?.node ?? '';
      owned.set(node, [...(owned.get(node) ?? []), userId]);
    }
    return { own: owned.get('edge-1') ?? [], others: owned.get('edge-2') ?? [] };
  };

  test('sends a client that can go there to its own, at once and before any read', async () => {
    const setting = await setUp();
    await setting.another('edge-2', { url: OTHER });
    const { own, others } = usersOf(setting);
    const moved = setting.subscribe({ mayRedirect: true }, others[0]);
    expect(moved.frames).toMatchObject([
      { case: 'goAway', value: { reason: 'MOVED', edge: OTHER, reconnectAfter: { seconds: 0n, nanos: 0 } } },
    ]);
    expect([moved.over, moved.error, setting.edge.streams, setting.queries()]).toEqual([
      true,
      undefined,
      0,
      [],
    ]);
    expect(setting.presence.told).toEqual([]);
    await helloed(setting.subscribe({ mayRedirect: true }, own[0]));
    await helloed(setting.subscribe({ mayRedirect: false }, others[0]));
  });

  test('serves everybody when the other has no address of its own', async () => {
    const setting = await setUp();
    await setting.another('edge-2');
    const { others } = usersOf(setting);
    await helloed(setting.subscribe({ mayRedirect: true }, others[0]));
  });
});
