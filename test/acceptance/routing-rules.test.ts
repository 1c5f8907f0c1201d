// The routing rules through a whole mesh: who looks gets the stream, who does not gets what the category says, and an ack takes back what was pushed.
import { createClient } from '@connectrpc/connect';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AdminService, BackgroundPolicy } from '../../gen/carillon/v1/admin_pb.ts';
import { Activity, EdgeService, Mark, Platform } from '../../gen/carillon/v1/edge_pb.ts';
import { IngestService } from '../../gen/carillon/v1/ingest_pb.ts';
import { Channel, DeliveryState } from '../../gen/carillon/v1/notification_pb.ts';
import { type RunningMesh, startRunningMesh } from '../support/running-mesh.ts';
import { backendTransport, userTransport } from '../support/transports.ts';
import { until } from '../support/until.ts';

let mesh: RunningMesh;
beforeAll(async () => {
  mesh = await startRunningMesh();
}, 120_000);
afterAll(() => mesh?.[Symbol.asyncDispose]());

/** A user with a phone, whose stream is open; `deliver` is the first item on it. */
async function someone(userId: string, activity: Activity) {
  const edge = createClient(EdgeService, userTransport(mesh.edge, userId));
  await edge.registerDevice({ deviceId: 'phone', platform: Platform.SANDBOX, token: `phone-of-${userId}` });
  const call = new AbortController();
  const frames = edge.subscribe({ activity }, { signal: call.signal })[Symbol.asyncIterator]();
  const next = async () => {
    const { value } = await frames.next();
    return value?.frame;
  };
  const hello = await next();
  if (hello?.case !== 'hello') throw new Error('the stream begins with Hello');
  return {
    edge,
    sessionId: hello.value.sessionId,
    async deliver() {
      for (;;) {
        const frame = await next();
        if (frame?.case === 'deliver') return frame.value;
        if (frame === undefined) throw new Error('the stream has ended');
      }
    },
    [Symbol.dispose]: () => call.abort(),
  };
}

const ingest = () => createClient(IngestService, backendTransport(mesh.ingest));
const admin = () => createClient(AdminService, backendTransport(mesh.ingest));

async function send(userId: string, category: string, channels: Channel[] = []): Promise<string> {
  const { notificationId } = await ingest().send({
    notification: {
      audience: { kind: { case: 'users', value: { ids: [userId] } } },
      content: { title: 'Your order', body: 'It is on its way.' },
      category,
      channels,
    },
  });
  return notificationId;
}

const pushes = async (userId: string) =>
  (await admin().listSandboxMessages({ userId, channel: Channel.PUSH })).messages;

const rules = async (notificationId: string, userId: string) =>
  (await ingest().explain({ notificationId, userId })).decisions.map(({ rule }) => rule);

test('in the background, where the category says so: stream and push at once, and the late ack takes the push back', async () => {
  await admin().putCategory({
    category: { id: 'orders', background: BackgroundPolicy.STREAM_AND_PUSH },
  });
  using ada = await someone('ada', Activity.BACKGROUND);
  const notificationId = await send('ada', 'orders');
  const { seq } = await ada.deliver();
  const [pushed] = await until('push', async () => {
    const found = await pushes('ada');
    return found.length > 0 ? found : undefined;
  });
  expect(pushed).toMatchObject({ notificationId, address: 'phone-of-ada' });
  expect(pushed?.clearedAt).toBeUndefined();
  await until('sent row', async () => {
    const { deliveries } = await ingest().explain({ notificationId, userId: 'ada' });
    return deliveries[0]?.state === DeliveryState.WAITING || deliveries[0]?.state === DeliveryState.SENT
      ? true
      : undefined;
  });
  const { acknowledged } = await ada.edge.ack({ sessionId: ada.sessionId, after: seq - 1, upto: seq });
  expect(acknowledged).toBe(1);
  await until('clear', async () => (await pushes('ada'))[0]?.clearedAt);
  const { decisions, deliveries } = await ingest().explain({ notificationId, userId: 'ada' });
  expect(deliveries).toMatchObject([{ state: DeliveryState.DELIVERED }]);
  expect(decisions.map(({ rule }) => rule)).toEqual(
    expect.arrayContaining(['plan', 'plan.presence', 'attempt.sent', 'state.delivered', 'clear.cleared']),
  );
  expect(decisions.find(({ rule }) => rule === 'plan.presence')?.inputs).toMatchObject({
    online: 'true',
    foreground: 'false',
    known: 'true',
    background: 'stream_and_push',
    background_from: 'category',
  });
});

test('who looks gets the stream alone, and who begins to look does from then on', async () => {
  using bob = await someone('bob', Activity.BACKGROUND);
  await bob.edge.setActivity({ sessionId: bob.sessionId, activity: Activity.FOREGROUND });
  const notificationId = await send('bob', 'orders');
  const { seq } = await bob.deliver();
  await bob.edge.ack({ sessionId: bob.sessionId, after: seq - 1, upto: seq });
  expect(await rules(notificationId, 'bob')).not.toContain('attempt.sent');
  expect(await pushes('bob')).toEqual([]);
});

test('of several channels at once, a read takes the push back, and an ack does not', async () => {
  using eve = await someone('eve', Activity.FOREGROUND);
  const notificationId = await send('eve', 'news', [Channel.IN_APP, Channel.PUSH]);
  const { seq } = await eve.deliver();
  await until('push', async () => ((await pushes('eve')).length > 0 ? true : undefined));
  await eve.edge.ack({ sessionId: eve.sessionId, after: seq - 1, upto: seq });
  await until('sent push', async () => {
    const { deliveries } = await ingest().explain({ notificationId, userId: 'eve' });
    return deliveries.find(({ channel }) => channel === Channel.PUSH)?.state === DeliveryState.SENT
      ? true
      : undefined;
  });
  expect((await rules(notificationId, 'eve')).filter((rule) => rule.startsWith('clear.'))).toEqual([]);
  await eve.edge.markInbox({ mark: Mark.READ, notificationIds: [notificationId] });
  await until('clear', async () => (await pushes('eve'))[0]?.clearedAt);
});
