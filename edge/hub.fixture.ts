// A hub over an inbox in memory, with time in the test's hand.
import { create } from '@bufbuild/protobuf';
import type { UserKey } from '../cluster/presence.ts';
import { TargetSchema } from '../gen/carillon/v1/edge_link_pb.ts';
import { ManualClock } from '../runtime/clock.manual.ts';
import type { Ids } from '../runtime/ids.ts';
import { silentLog } from '../runtime/log.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { type Tracing, tracingOff } from '../runtime/tracing.ts';
import { deliverTail } from '../storage/inbox-item.ts';
import { FakeStream } from './client-stream.fixture.ts';
import { parseCursor } from './cursor.ts';
import { Hub } from './hub.ts';
import { InboxModel } from './inbox-model.fixture.ts';
import type { Session } from './session.ts';

export const EPOCH = '0123abcd';

/** Resolves when everything that can happen without time or a signal has happened. */
export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export function testHub(
  options: { tracing?: Tracing; keptSinceMs?: number; ids?: Ids; clock?: ManualClock } = {},
) {
  const model = new InboxModel();
  const clock = options.clock ?? new ManualClock();
  const presence: string[] = [];
  const metrics = createMetrics();
  const hub = new Hub({
    node: 'edge-1',
    incarnation: 'i1',
    epoch: EPOCH,
    keptSinceMs: options.keptSinceMs ?? 0,
    readPages: model.readPages,
    readContents: model.readContents,
    presence: {
      enter: ({ userId }: UserKey) => presence.push(`enter ${userId}`),
      leave: ({ userId }: UserKey, _edge: string, closed: boolean) =>
        presence.push(`leave ${userId}${closed ? ' closed' : ''}`),
    },
    clock,
    ids: options.ids ?? { uuid: () => 'u', random: () => 0 },
    tracing: options.tracing ?? tracingOff,
    metrics,
    log: silentLog,
  });
  const open = (cursor?: string, user = 'ada'): { stream: FakeStream; session: Session } => {
    const stream = new FakeStream(user);
    const session = hub.open('default', user, cursor === undefined ? undefined : parseCursor(cursor), stream);
    return { stream, session };
  };
  return { hub, model, clock, presence, metrics, open };
}

type TestHub = ReturnType<typeof testHub>;

/** Stores an item and brings it by a link. */
export async function send(
  { hub, model }: TestHub,
  { userId = 'ada', traceparent }: { userId?: string; traceparent?: string } = {},
) {
  const item = model.add();
  return offer({ hub, model }, item.firstSeq, { userId, traceparent });
}

export async function offer(
  { hub, model }: Pick<TestHub, 'hub' | 'model'>,
  seq: number,
  { userId = 'ada', traceparent }: { userId?: string; traceparent?: string } = {},
) {
  const target = create(TargetSchema, { tenant: 'default', userId, seq, item: 0 });
  const [result] = await hub.deliver([deliverTail(model.encoded(`n${seq}`), traceparent)], [target]);
  return result!;
}
