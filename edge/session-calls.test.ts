// A client may call any edge about its stream: what it says arrives at the one that holds it, or it is told plainly that it did not.

import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import type { Signal } from '../cluster/edge-link.ts';
import { SignalOutcome, SignalSchema } from '../gen/carillon/v1/edge_link_pb.ts';
import { Activity, Mark } from '../gen/carillon/v1/edge_pb.ts';
import type { ReasonName } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import { seedInbox } from '../test/support/inbox-rows.ts';
import { helloed, testMesh } from './edge.fixture.ts';
import { settled } from './hub.fixture.ts';
import { Signals } from './signals.ts';

const refused = (reason: ReasonName) => expect.objectContaining({ reason });
const HOUR_MS = 3_600_000;

async function setUp() {
  const mesh = await testMesh();
  const [here, there] = [await mesh.edge('edge-1'), await mesh.edge('edge-2.eu')];
  const stream = there.subscribe({ deviceId: 'phone' }, mesh.tokens.of('ada', { ttlMs: HOUR_MS }));
  const { sessionId } = await helloed(stream);
  const told = mesh.presence.told.splice(0);
  return { ...mesh, here, there, stream, sessionId, told };
}

test('a session names its edge and its start, whatever the name', async () => {
  const { sessionId, told } = await setUp();
  expect([sessionId, told]).toEqual(['edge-2.eu.i1.1', ['edge-2.eu: enter ada']]);
});

describe('at another edge', () => {
  test('SetActivity changes presence', async () => {
    const { here, presence, sessionId } = await setUp();
    await here.setActivity({ sessionId, activity: Activity.BACKGROUND });
    await here.setActivity({ sessionId, activity: Activity.BACKGROUND });
    await here.setActivity({ sessionId, activity: Activity.FOREGROUND });
    expect(presence.told).toEqual(['edge-2.eu: enter ada behind', 'edge-2.eu: enter ada']);
  });

  test('Reauthenticate swaps the token of the stream', async () => {
    const { here, tokens, clock, sessionId, stream } = await setUp();
    clock.advance(HOUR_MS / 2);
    const issuedMs = clock.now();
    const answer = await here.reauthenticate({ sessionId }, tokens.of('ada', { ttlMs: HOUR_MS }));
    expect(answer.tokenExpiry).toMatchObject({ seconds: BigInt((issuedMs + HOUR_MS) / 1_000) });
    clock.advance(HOUR_MS / 2 + 1_000);
    await settled();
    expect(stream.over).toBe(false);
    clock.advance(HOUR_MS / 2);
    await settled();
    expect(stream.error?.reason).toBe('TOKEN_EXPIRED');
  });

  test('an ack spares the drain of the holder its waiting', async () => {
    const { here, there, db, sessionId, stream, clock } = await setUp();
    await seedInbox(db, { users: ['ada'], count: 3 });
    there.edge.port.changed([{ tenant: 'default', userId: 'ada', head: 3 } as never]);
    await stream.until((frames) => frames.filter((frame) => frame.case === 'deliver').length === 3);
    expect(await here.ack({ sessionId, after: 0, upto: 3 })).toMatchObject({ acknowledged: 3 });
    const [held] = there.edge.port.held([{ tenant: 'default', userId: 'ada' }]);
    expect(held?.streams[0]?.lastAckAge).toMatchObject({ seconds: 0n });
    await there.announcement[Symbol.asyncDispose]();
    const done = there.edge.drain();
    await settled();
    clock.advance(50);
    await done;
    expect([stream.of('goAway').length, stream.over]).toEqual([1, true]);
  });

  test('a mark is shown on the stream', async () => {
    const { here, db, sessionId, there, stream } = await setUp();
    await seedInbox(db, { users: ['ada'] });
    there.edge.port.changed([{ tenant: 'default', userId: 'ada', head: 1 } as never]);
    await stream.until((frames) => frames.at(-1)?.case === 'deliver');
    expect(await here.mark({ mark: Mark.READ, upto: 1 })).toMatchObject({ marked: 1 });
    await stream.until((frames) => frames.at(-1)?.case === 'update');
    expect(sessionId).toMatch(/^edge-2/);
  });
});

describe('is refused', () => {
  test.each([
    ['of another user', 'eve', {}],
    ['of another tenant', 'ada', { tenant: 'acme' }],
    ['bound to another device', 'ada', { deviceId: 'laptop' }],
  ])('with a token %s, here and elsewhere', async (_what, userId, options) => {
    const { here, there, tokens, sessionId, presence } = await setUp();
    const token = tokens.of(userId, options);
    for (const edge of [here, there]) {
      const unknown = refused('SESSION_UNKNOWN');
      const activity = Activity.BACKGROUND;
      await expect(edge.setActivity({ sessionId, activity }, token)).rejects.toEqual(unknown);
      await expect(edge.reauthenticate({ sessionId }, token)).rejects.toEqual(unknown);
    }
    expect(presence.told).toEqual([]);
  });

  test.each([
    ['of an earlier start of this edge', 'edge-1.i0.1'],
    ['that this edge never had', 'edge-1.i1.zz'],
    ['that is not one', 'nonsense'],
    ['that is not one either', '...'],
    ['with a number that is none', 'edge-1.i1.__proto__'],
    ['of an edge that is no member', 'edge-9.i1.1'],
    ['of an earlier start of another edge', 'edge-2.eu.i0.1'],
  ])('a session %s', async (_what, sessionId) => {
    const { here } = await setUp();
    const call = here.setActivity({ sessionId, activity: Activity.BACKGROUND });
    await expect(call).rejects.toEqual(refused('SESSION_UNKNOWN'));
  });

  test('once it is over', async () => {
    const { here, there, stream, sessionId } = await setUp();
    stream.close('lost');
    await settled();
    for (const edge of [here, there])
      await expect(edge.reauthenticate({ sessionId })).rejects.toEqual(refused('SESSION_UNKNOWN'));
  });

  test('with a delay while nobody reaches its edge', async () => {
    const { here, router, sessionId } = await setUp();
    router.away = true;
    const call = here.setActivity({ sessionId, activity: Activity.BACKGROUND });
    await expect(call).rejects.toMatchObject({
      reason: 'EDGE_UNREACHABLE',
      retryAfterMs: expect.any(Number),
    });
    expect(await here.ack({ sessionId, after: 0, upto: 0 })).toMatchObject({ acknowledged: 0 });
  });
});

describe('signals', () => {
  const signal = create(SignalSchema, { sessionId: 'edge-2.i.1' });
  const peer = (outcome: SignalOutcome, asked: Signal[] = []) => ({
    asked,
    changed: () => {},
    viewed: () => {},
    signal: (one: Signal) => {
      asked.push(one);
      return Promise.resolve(outcome);
    },
  });

  test('go by the next router when one has no link to that edge', async () => {
    const signals = new Signals();
    const peers = [
      peer(SignalOutcome.UNREACHABLE),
      peer(SignalOutcome.NO_SESSION),
      peer(SignalOutcome.UNREACHABLE),
    ];
    expect(await signals.send(signal)).toBe(SignalOutcome.UNREACHABLE);
    const stops = peers.map((one) => signals.attach(one));
    for (let count = 0; count < 6; count++) expect(await signals.send(signal)).toBe(SignalOutcome.NO_SESSION);
    expect(peers.map(({ asked }) => asked.length)).toEqual([4, 6, 2]);
    stops[1]?.();
    expect(await signals.send(signal)).toBe(SignalOutcome.UNREACHABLE);
    expect(peers[1]?.asked).toHaveLength(6);
  });

  test('that wait are bounded', async () => {
    const signals = new Signals();
    const waiting = Promise.withResolvers<SignalOutcome>();
    let asked = 0;
    signals.attach({
      ...peer(SignalOutcome.DONE),
      signal: () => {
        asked++;
        return waiting.promise;
      },
    });
    const outcomes = Array.from({ length: limits.signalsWaitingCount + 5 }, () => signals.send(signal));
    expect(await Promise.all(outcomes.slice(-5))).toEqual(Array(5).fill(SignalOutcome.UNREACHABLE));
    waiting.resolve(SignalOutcome.DONE);
    expect(new Set(await Promise.all(outcomes.slice(0, -5)))).toEqual(new Set([SignalOutcome.DONE]));
    expect(asked).toBe(limits.signalsWaitingCount);
  });
});
