// Whatever crosses whatever: a client that keeps its cursor handles each item once, in order, and ends with every mark.
import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TargetSchema } from '../gen/carillon/v1/edge_link_pb.ts';
import { limits } from '../runtime/limits.ts';
import { deliverTail } from '../storage/inbox-item.ts';
import type { FakeStream } from './client-stream.fixture.ts';
import { settled, testHub } from './hub.fixture.ts';
import type { ModelItem } from './inbox-model.fixture.ts';

type Step =
  | { do: 'send'; live: 'now' | 'later' | 'lost' | 'twice' }
  | { do: 'link'; at: number }
  | { do: 'read'; at: number; told: boolean }
  | { do: 'store' }
  | { do: 'beat' }
  | { do: 'fill' }
  | { do: 'drain' }
  | { do: 'hold' }
  | { do: 'release' }
  | { do: 'reconnect'; handle: number; why: 'client' | 'lost' };

const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      live: fc.constantFrom('now', 'later', 'lost', 'twice'),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('link' as const), at: fc.nat(20) }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('read' as const), at: fc.nat(20), told: fc.boolean() }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('store' as const) }) },
  {
    weight: 4,
    arbitrary: fc.constantFrom<Step>(
      { do: 'beat' },
      { do: 'fill' },
      { do: 'drain' },
      { do: 'hold' },
      { do: 'release' },
    ),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('reconnect' as const),
      handle: fc.nat(30),
      why: fc.constantFrom('client', 'lost'),
    }),
  },
);

/** What an app does with its frames: it shows items, applies marks and keeps the cursor of what it has handled. */
class App {
  cursor: string | undefined;
  readonly shown = new Map<string, { seq: number; read: boolean }>();
  readonly order: number[] = [];
  #handled = 0;
  #last = 0;

  connected(): void {
    this.#handled = 0;
    this.#last = 0;
  }

  handle(stream: FakeStream, count = Number.POSITIVE_INFINITY): void {
    for (const frame of stream.frames.slice(this.#handled, this.#handled + count)) {
      this.#handled++;
      if (frame.case === 'deliver') {
        const { seq, item } = frame.value;
        expect(this.shown.has(item!.notificationId), `${item!.notificationId} came twice`).toBe(false);
        expect(item!.content!.title).toBe(item!.notificationId);
        this.shown.set(item!.notificationId, { seq, read: item!.read });
        this.order.push(seq);
      } else if (frame.case === 'update') {
        const known = this.shown.get(frame.value.notificationId);
        expect(known?.seq, 'a mark on an item that never came').toBe(frame.value.firstSeq);
        known!.read ||= frame.value.read;
      }
      if (frame.case === 'deliver' || frame.case === 'update') {
        expect(frame.value.seq).toBeGreaterThan(this.#last);
        this.#last = frame.value.seq;
      }
      if (frame.case !== 'goAway' && frame.case !== undefined && 'cursor' in frame.value)
        this.cursor = frame.value.cursor;
    }
  }
}

async function run(script: readonly Step[]): Promise<void> {
  const { hub, model, clock, open, changed } = testHub();
  const app = new App();
  let { stream } = open();
  const later: ModelItem[] = [];
  const link = async (item: ModelItem | undefined) => {
    if (!item) return;
    const target = create(TargetSchema, { tenant: 'default', userId: 'ada', seq: item.firstSeq, item: 0 });
    await hub.deliver([deliverTail(model.encoded(item.id))], [target]);
  };
  await settled();
  // Its first Hello tells an app where it begins; without it there is nothing to resume.
  app.handle(stream);
  for (const step of script) {
    if (step.do === 'send') {
      const item = model.add();
      if (step.live === 'later') later.push(item);
      if (step.live === 'now' || step.live === 'twice') await link(item);
      if (step.live === 'twice') await link(item);
    } else if (step.do === 'link') await link(later.splice(step.at % (later.length || 1), 1)[0]);
    else if (step.do === 'read') {
      const item = model.items[step.at % (model.items.length || 1)];
      if (item) model.markRead(item);
      if (item && step.told) changed(model.head);
    } else if (step.do === 'store') model.step();
    else if (step.do === 'hold') model.held = true;
    else if (step.do === 'release') model.held = false;
    else if (step.do === 'beat') clock.advance(limits.heartbeatMs);
    else if (step.do === 'fill') stream.fill();
    else if (step.do === 'drain') stream.drain();
    else {
      app.handle(stream, step.handle);
      stream.close(step.why);
      await settled();
      stream = open(app.cursor).stream;
      app.connected();
    }
    await settled();
  }
  model.held = false;
  stream.drain();
  for (let round = 0; round < 3; round++) {
    while (model.pending > 0) {
      model.step();
      await settled();
    }
    clock.advance(limits.heartbeatMs);
    await settled();
  }
  app.handle(stream);
  expect(app.order).toEqual(model.items.map(({ firstSeq }) => firstSeq).sort((a, b) => a - b));
  expect(
    [...app.shown]
      .filter(([, { read }]) => read)
      .map(([id]) => id)
      .sort(),
  ).toEqual(
    model.items
      .filter(({ read }) => read)
      .map(({ id }) => id)
      .sort(),
  );
  const last = stream.of('watermark').at(-1)!;
  expect([last.sentThrough, last.unseen, last.unread]).toEqual([model.head, model.unseen, model.unread]);
  hub[Symbol.dispose]();
}

test('every item comes once and in order, whatever crosses on its way', async () => {
  await fc.assert(fc.asyncProperty(fc.array(steps, { maxLength: 80, size: 'max' }), run), {
    numRuns: 1_500,
    interruptAfterTimeLimit: 40_000,
    markInterruptAsFailure: true,
  });
}, 60_000);
