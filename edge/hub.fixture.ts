// A hub over an inbox in memory, with time in the test's hand.
import { create } from '@bufbuild/protobuf';
import type { Attention, UserKey } from '../cluster/presence.ts';
import { ChangedSchema, TargetSchema } from '../gen/carillon/v1/edge_link_pb.ts';
import { Activity } from '../gen/carillon/v1/edge_pb.ts';
import { ManualClock } from '../runtime/clock.manual.ts';
import type { Ids } from '../runtime/ids.ts';
import { silentLog } from '../runtime/log.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { type Tracing, tracingOff } from '../runtime/tracing.ts';
import { deliverTail } from '../storage/inbox-item.ts';
import { FakeStream } from './client-stream.fixture.ts';
import { parseCursor } from './cursor.ts';
import { edgePort } from './edge-port.ts';
import { Hub } from './hub.ts';
import { InboxModel } from './inbox-model.fixture.ts';
import type { Session } from './session.ts';
import type { Opening } from './session-host.ts';
import { Signals } from './signals.ts';

export const EPOCH = '0123abcd';

/** Resolves when everything that can happen without time or a signal has happened. */
export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export function testHub(
  options: {
    tracing?: Tracing;
    keptSinceMs?: number;
    ids?: Ids;
    clock?: ManualClock;
    onOld?: (session: Session) => void;
  } = {},
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
    onOld: options.onOld ?? ((session) => session.goAway('AGE', 0)),
    tokenNowMs: () => clock.now(),
    presence: {
      enter: ({ userId }: UserKey, _edge: string, attention: Attention) =>
        presence.push(`enter ${userId}${attention === Activity.BACKGROUND ? ' behind' : ''}`),
      leave: ({ userId }: UserKey, _edge: string, closed: boolean) =>
        presence.push(`leave ${userId}${closed ? ' closed' : ''}`),
    },
    clock,
    ids: options.ids ?? { uuid: () => 'u', random: () => 0 },
    tracing: options.tracing ?? tracingOff,
    metrics,
    log: silentLog,
  });
  const open = (
    cursor?: string,
    userId = 'ada',
    opening: Partial<Opening> = {},
  ): { stream: FakeStream; session: Session } => {
    const stream = new FakeStream();
    const session = hub.open(
      {
        user: { tenant: 'default', userId },
        deviceId: '',
        attention: Activity.FOREGROUND,
        mayRedirect: false,
        cursor: cursor === undefined ? undefined : parseCursor(cursor),
        issuedMs: 0,
        expiresMs: undefined,
        place: undefined,
        ...opening,
      },
      stream,
    );
    return { stream, session };
  };
  /** An inbox has got so far, as a link or a call on this edge says. */
  const changed = (head: number, userId = 'ada') =>
    hub.changed([create(ChangedSchema, { tenant: 'default', userId, head })]);
  const port = edgePort({
    node: 'edge-1',
    incarnation: 'i1',
    hub,
    signals: new Signals(),
    ownership: { view: { hash: 'view-1' } },
  });
  return { hub, port, model, clock, presence, metrics, open, changed };
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
