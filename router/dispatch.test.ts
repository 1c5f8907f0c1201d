// What a dispatch promises: bytes once per notification, batches within their bounds, the best answer of all edges.
import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TargetOutcome } from '../gen/carillon/v1/edge_link_pb.ts';
import { ContentSchema, Lane, NotificationSchema } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import { tracingOff } from '../runtime/tracing.ts';
import { Dispatcher, type Showing } from './dispatch.ts';
import { answer, FakeLinks } from './router.fixture.ts';

const O = TargetOutcome;

const notification = (id: string, bodyBytes = 10) => ({
  id,
  lane: Lane.NORMAL,
  category: 'default',
  createdAtMs: 1_800_000_000_000,
  payload: toBinary(
    NotificationSchema,
    create(NotificationSchema, {
      content: create(ContentSchema, { title: id, body: 'x'.repeat(bodyBytes) }),
    }),
  ),
});

const showing = (userId: string, edges: string[], of = notification('n1'), seq = 1): Showing => ({
  notification: of,
  tenant: 'default',
  userId,
  seq,
  edges,
  traceparent: undefined,
});

const open = () => {
  const links = new FakeLinks();
  return { links, dispatcher: new Dispatcher({ links, tracing: tracingOff }) };
};

describe('a dispatch', () => {
  it('sends each edge one batch, and each notification once in it', async () => {
    const { links, dispatcher } = open();
    const [one, two] = [notification('n1'), notification('n2')];
    const results = await dispatcher.show(Lane.NORMAL, [
      showing('ada', ['a'], one),
      showing('bob', ['b'], one),
      showing('ada', ['a'], two, 2),
      showing('eve', ['a'], one),
      showing('gone', [], one),
    ]);
    expect(links.batches.map(({ edge, items, targets }) => [edge, items, targets])).toEqual([
      ['a', 2, 3],
      ['b', 1, 1],
    ]);
    expect(results.map(({ outcome }) => outcome)).toEqual([
      O.WRITTEN,
      O.WRITTEN,
      O.WRITTEN,
      O.WRITTEN,
      O.NO_SESSION,
    ]);
    expect(links.shown.filter(({ userId }) => userId === 'ada')).toMatchObject([
      { seq: 1, title: 'n1' },
      { seq: 2, title: 'n2' },
    ]);
  });

  it('takes the best answer of the edges that hold a user', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.constantFrom(O.WRITTEN, O.ALREADY, O.CATCHING_UP, O.NO_SESSION), fc.nat(9)), {
          minLength: 1,
          maxLength: 4,
        }),
        async (said) => {
          const { links, dispatcher } = open();
          links.answers = (_user, edge) => answer(...said[Number(edge)]!);
          const [got] = await dispatcher.show(Lane.NORMAL, [
            showing(
              'ada',
              said.map((_, edge) => String(edge)),
            ),
          ]);
          const outcomes = said.map(([outcome]) => outcome);
          const best = [O.WRITTEN, O.ALREADY, O.CATCHING_UP, O.NO_SESSION].find((one) =>
            outcomes.includes(one),
          );
          expect(got?.outcome).toBe(best);
          if (best === O.ALREADY)
            expect(got?.agoMs).toBe(Math.max(...said.filter(([one]) => one === best).map(([, ago]) => ago)));
        },
      ),
    );
  });

  it('keeps batches within their bounds', async () => {
    const { links, dispatcher } = open();
    const large = Array.from({ length: 5 }, (_, n) => notification(`n${n}`, 30_000 * (n + 10)));
    await dispatcher.show(
      Lane.NORMAL,
      Array.from({ length: 2_000 }, (_, n) => showing(`user-${n}`, ['a'], large[Math.floor(n / 400)])),
    );
    expect(links.shown).toHaveLength(2_000);
    const largest = 30_000 * 14 + 1_000;
    for (const { targets, bytes } of links.batches) {
      expect(targets).toBeLessThanOrEqual(limits.linkTargetsCount);
      expect(bytes).toBeLessThan(limits.linkBatchBytes + largest);
    }
  });

  it('has only so many batches in flight to an edge, and other lanes do not wait for them', async () => {
    const { links, dispatcher } = open();
    const held = Promise.withResolvers<void>();
    links.answers = async (userId) => {
      if (userId !== 'otp') await held.promise;
      return answer(O.WRITTEN);
    };
    const bulk = Array.from({ length: limits.linkInFlightCount * 2 }, (_, n) =>
      dispatcher.show(Lane.BULK, [showing(`user-${n}`, ['a'])]),
    );
    await dispatcher.show(Lane.CRITICAL, [showing('otp', ['a'])]);
    expect(links.batches).toHaveLength(limits.linkInFlightCount + 1);
    held.resolve();
    await Promise.all(bulk);
    expect(links.batches).toHaveLength(limits.linkInFlightCount * 2 + 1);
  });
});
