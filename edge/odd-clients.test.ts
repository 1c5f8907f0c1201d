// Clients, clocks and cursors that nobody planned for: each with the outcome that is expected, and no other.
import { describe, expect, test } from 'vitest';
import { Activity, Resume } from '../gen/carillon/v1/edge_pb.ts';
import { ManualClock } from '../runtime/clock.manual.ts';
import type { ReasonName } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import { ensurePartitions } from '../storage/partitions.ts';
import { seedInbox } from '../test/support/inbox-rows.ts';
import type { FakeStream, Frame } from './client-stream.fixture.ts';
import { formatCursor, MAX_SEQ, parseCursor } from './cursor.ts';
import { helloed, send, type TestEdge, type TestMesh, testMesh } from './edge.fixture.ts';
import { settled } from './hub.fixture.ts';

const HOUR_MS = 3_600_000;
const ITEMS = 5;

interface Setting {
  mesh: TestMesh;
  edge: TestEdge;
  /** A cursor of this store at a position, with a time. */
  cursorAt(seq: number, timeMs?: number): string;
}

/** An edge whose user ada has ITEMS items, so that her head is there. */
async function setUp(): Promise<Setting> {
  const mesh = await testMesh();
  const edge = await mesh.edge();
  await seedInbox(mesh.db, { users: ['ada'], count: ITEMS });
  const { cursor } = await helloed(edge.subscribe({}, 'nobody'));
  const { epoch } = parseCursor(cursor);
  return {
    mesh,
    edge,
    cursorAt: (seq, timeMs = mesh.clock.now()) => formatCursor({ epoch, seq, timeMs }),
  };
}

const seqs = (stream: FakeStream): number[] => stream.of('deliver').map(({ seq }) => seq);
const upTo = (seq: number) => (frames: readonly Frame[]) =>
  frames.some((frame) => frame.case === 'deliver' && frame.value.seq === seq);
const ended = async (stream: FakeStream): Promise<void> => {
  await stream.until(() => false).catch(() => {});
};

describe('a cursor', () => {
  type Expected = { ends: ReasonName } | { resume: Resume; reason: string; items: number[] };
  const resumed = (resume: Resume, reason: string, items: number[]): Expected => ({ resume, reason, items });
  const table: [what: string, cursor: (setting: Setting) => string | undefined, expected: Expected][] = [
    ['none', () => undefined, resumed(Resume.RESET, 'NO_CURSOR', [])],
    ['where it stood', ({ cursorAt }) => cursorAt(2), resumed(Resume.RESUMED, '', [3, 4, 5])],
    ['at the head', ({ cursorAt }) => cursorAt(ITEMS), resumed(Resume.RESUMED, '', [])],
    ['from the future', ({ cursorAt }) => cursorAt(ITEMS + 1), { ends: 'CURSOR_AHEAD' }],
    ['from the end of time', ({ cursorAt }) => cursorAt(MAX_SEQ), { ends: 'CURSOR_AHEAD' }],
    [
      'whose time is from the future, whose position is not',
      ({ cursorAt, mesh }) => cursorAt(4, mesh.clock.now() + 10 * HOUR_MS),
      resumed(Resume.RESUMED, '', [5]),
    ],
    [
      'from before retention',
      ({ cursorAt }) => cursorAt(2, 1),
      resumed(Resume.PARTIAL, 'RETENTION', [3, 4, 5]),
    ],
    [
      'from before retention, of who missed nothing',
      ({ cursorAt }) => cursorAt(ITEMS, 1),
      resumed(Resume.RESUMED, '', []),
    ],
    [
      'of another store',
      ({ mesh }) => formatCursor({ epoch: 'ffffffff', seq: 2, timeMs: mesh.clock.now() }),
      resumed(Resume.RESET, 'OTHER_EPOCH', []),
    ],
    // It names no user: a position is all that it is, and the items are the caller's own.
    ['of another user', ({ cursorAt }) => cursorAt(0), resumed(Resume.RESUMED, '', [1, 2, 3, 4, 5])],
    ['that is none', () => 'nonsense', { ends: 'CURSOR_MALFORMED' }],
    ['that is empty', () => '', { ends: 'CURSOR_MALFORMED' }],
    ['one character short', ({ cursorAt }) => cursorAt(2).slice(0, -1), { ends: 'CURSOR_MALFORMED' }],
    [
      'past every position there can be',
      ({ cursorAt }) => `${cursorAt(2).slice(0, -6)}zzzzzz`,
      { ends: 'CURSOR_MALFORMED' },
    ],
    ['of 300 characters', () => 'x'.repeat(300), { ends: 'INVALID_REQUEST' }],
  ];

  test.each(table)('%s', async (_what, cursorOf, expected) => {
    const setting = await setUp();
    const stream = setting.edge.subscribe({ cursor: cursorOf(setting) });
    if ('ends' in expected) {
      await ended(stream);
      expect([stream.error?.reason, stream.frames]).toEqual([expected.ends, []]);
      return;
    }
    const { resume, resumeReason } = await helloed(stream);
    if (expected.items.length > 0) await stream.until(upTo(expected.items.at(-1)!));
    expect({ resume, reason: resumeReason, items: seqs(stream) }).toEqual(expected);
    // Whatever it began with, what comes next is shown.
    await send(setting.mesh.db, setting.edge.edge, ITEMS + 1);
    await stream.until(upTo(ITEMS + 1));
  });
});

describe('two clients with one device id', () => {
  test('are both served, are one device with two streams, and ack for one another', async () => {
    const { mesh, edge, cursorAt } = await setUp();
    const token = mesh.tokens.of('ada', { deviceId: 'phone' });
    const both = [cursorAt(ITEMS), cursorAt(ITEMS)].map((cursor) => edge.subscribe({ cursor }, token));
    const [one, two] = await Promise.all(both.map(helloed));
    await send(mesh.db, edge.edge, ITEMS + 1);
    expect(both.map(seqs)).toEqual([[6], [6]]);
    const acks = await Promise.all(
      [one, two].map((hello) => edge.ack({ sessionId: hello!.sessionId, after: 5, upto: 6 }, token)),
    );
    // Whoever is first: it is delivered once.
    expect(acks.map(({ acknowledged }) => acknowledged).sort()).toEqual([0, 1]);
    const [held] = edge.edge.port.held([{ tenant: 'default', userId: 'ada' }]);
    expect(held?.streams.map(({ deviceId }) => deviceId)).toEqual(['phone', 'phone']);
  });

  test('leave presence when the last of them does, and look when one of them looks', async () => {
    const { mesh, edge } = await setUp();
    mesh.presence.told.length = 0;
    const first = edge.subscribe({ deviceId: 'phone', activity: Activity.BACKGROUND });
    const second = edge.subscribe({ deviceId: 'phone', activity: Activity.FOREGROUND });
    await Promise.all([first, second].map(helloed));
    second.close('client');
    await settled();
    first.close('client');
    await settled();
    expect(mesh.presence.told).toEqual([
      'edge-1: enter ada behind',
      'edge-1: enter ada',
      'edge-1: enter ada behind',
      'edge-1: leave ada closed',
    ]);
  });
});

describe('a token that expires in mid-stream', () => {
  test.each([
    ['and is renewed', true],
    ['and is not', false],
  ])('%s', async (_what, renewed) => {
    const { mesh, edge } = await setUp();
    const { clock, tokens } = mesh;
    const stream = edge.subscribe({}, tokens.of('ada', { ttlMs: HOUR_MS }));
    const { sessionId, tokenExpiry } = await helloed(stream);
    expect(Number(tokenExpiry?.seconds)).toBe((clock.now() + HOUR_MS) / 1_000);
    clock.advance(HOUR_MS - limits.tokenNoticeMs + 1_000);
    await settled();
    expect(stream.of('reauthenticate')).toMatchObject([{ tokenExpiry }]);
    if (renewed) await edge.reauthenticate({ sessionId }, tokens.of('ada', { ttlMs: HOUR_MS }));
    await send(mesh.db, edge.edge, ITEMS + 1);
    expect(seqs(stream)).toEqual([6]);
    clock.advance(limits.tokenNoticeMs);
    await settled();
    expect(stream.error?.reason).toBe(renewed ? undefined : 'TOKEN_EXPIRED');
    expect(stream.over).toBe(!renewed);
  });
});

describe('an edge whose clock is an hour off', () => {
  test.each([
    ['ahead', HOUR_MS],
    ['behind', -HOUR_MS],
  ])(
    '%s: serves, takes tokens for as long as they are good, and gives cursors that other edges take',
    async (_what, offMs) => {
      const { mesh, edge, cursorAt } = await setUp();
      const { db, tokens, clock } = mesh;
      await ensurePartitions(db, clock.now());
      const skewed = new ManualClock(clock.now() + offMs);
      const off = await mesh.edge('edge-2', { clock: skewed });
      const token = tokens.of('ada', { ttlMs: HOUR_MS / 2 });
      const stream = off.subscribe({ cursor: cursorAt(3) }, token);
      const hello = await helloed(stream);
      await stream.until(upTo(ITEMS));
      expect([hello.resume, seqs(stream)]).toEqual([Resume.RESUMED, [4, 5]]);
      await send(db, off.edge, ITEMS + 1);
      const { cursor } = stream.of('deliver').at(-1)!;
      // By the store's clock, which the edge that is right has as well.
      expect(Math.abs(parseCursor(cursor).timeMs - clock.now())).toBeLessThan(1_000);
      expect((await helloed(edge.subscribe({ cursor }, token))).resume).toBe(Resume.RESUMED);
      // The token is judged by the store's clock, too.
      for (const each of [clock, skewed]) each.advance(HOUR_MS / 2 - 10_000);
      await settled();
      expect(stream.over).toBe(false);
      for (const each of [clock, skewed]) each.advance(11_000);
      await settled();
      expect(stream.error?.reason).toBe('TOKEN_EXPIRED');
    },
  );
});
