// The SDK against a whole mesh: over connections that break, a token that expires, another transport, and what others learn of it.
import { createClient, type Transport } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Activity, CarillonClient, type ClientOptions, fetchTransport, Mark } from '../../client/client.ts';
import { EdgeService } from '../../gen/carillon/v1/edge_pb.ts';
import { IngestService } from '../../gen/carillon/v1/ingest_pb.ts';
import { DeliveryState } from '../../gen/carillon/v1/notification_pb.ts';
import { bearer } from '../../runtime/bearer.ts';
import { openCutProxy } from '../support/cut-proxy.ts';
import { type RunningMesh, startRunningMesh } from '../support/running-mesh.ts';
import { userToken } from '../support/tokens.ts';
import { backendTransport } from '../support/transports.ts';
import { until } from '../support/until.ts';

const ITEMS = 1_000;
const BATCH = 100;

let mesh: RunningMesh;
beforeAll(async () => {
  mesh = await startRunningMesh();
}, 120_000);
afterAll(() => mesh?.[Symbol.asyncDispose]());

interface Heard {
  readonly client: CarillonClient;
  readonly titles: string[];
  readonly ids: string[];
  readonly states: string[];
}

/** A client that has been started, and has had its first Hello. */
async function listening(userId: string, options: Partial<ClientOptions> = {}): Promise<Heard> {
  const client = new CarillonClient({ url: mesh.edge, token: () => mesh.tokenOf(userId), ...options });
  onTestFinished(() => client.close());
  const heard: Heard = { client, titles: [], ids: [], states: [] };
  client.on('item', ({ item }) => {
    heard.titles.push(item.content?.title ?? '');
    heard.ids.push(item.notificationId);
  });
  client.on('state', (state) => heard.states.push(state));
  client.start();
  await until('a stream', () => (client.state === 'open' ? true : undefined));
  return heard;
}

/** Sends so many in-app notifications, titled by their number. */
async function send(userId: string, count: number): Promise<void> {
  const ingest = createClient(IngestService, backendTransport(mesh.ingest));
  for (let from = 1; from <= count; from += BATCH) {
    const sends = Array.from({ length: Math.min(BATCH, count - from + 1) }, (_, index) => ({
      idempotencyKey: `${userId}-${from + index}`,
      notification: {
        audience: { kind: { case: 'users' as const, value: { ids: [userId] } } },
        content: { title: String(from + index) },
      },
    }));
    await ingest.sendBatch({ sends });
  }
}

const numbers = Array.from({ length: ITEMS }, (_, index) => String(index + 1));

async function stateOf(notificationId: string): Promise<DeliveryState | undefined> {
  const ingest = createClient(IngestService, backendTransport(mesh.ingest));
  const { status } = await ingest.getNotification({ notificationId });
  return status?.deliveries[0]?.state;
}

const http2 = (baseUrl: string): Transport => createConnectTransport({ baseUrl, httpVersion: '2' });

describe.each([
  ['fetch', fetchTransport],
  ['HTTP/2', http2],
])('over %s', (name, transport) => {
  test('hears every item once and in order, and acknowledges it, while its connections are cut', async () => {
    await using proxy = await openCutProxy(() => Number(new URL(mesh.edge).port));
    const user = `cut-${name.replace('/', '-')}`;
    const url = `http://127.0.0.1:${proxy.port}`;
    const { titles, ids, states } = await listening(user, { url, mayRedirect: false, transport });
    const cuts = [0.1, 0.4, 0.7].map((share) => Math.round(share * ITEMS));
    const sent = send(user, ITEMS);
    for (const at of cuts) {
      await until(`${at} items`, () => (titles.length >= at ? true : undefined));
      proxy.cut();
    }
    await sent;
    await until('all items', () => (titles.length >= ITEMS ? true : undefined));
    expect(titles).toEqual(numbers);
    expect(states.filter((state) => state === 'open').length).toBeGreaterThan(1);
    for (const id of [ids[0]!, ids[cuts[1]!]!, ...ids.slice(-30)])
      await until('its ack', async () =>
        (await stateOf(id)) === DeliveryState.DELIVERED ? true : undefined,
      );
  });
});

describe('a token that expires in mid-stream', () => {
  const LIFE_MS = 4_000;

  test('is renewed in time, and the stream goes on over its end', async () => {
    let asked = 0;
    const { titles, states } = await listening('renewing', {
      token: () => {
        asked++;
        return userToken('renewing', { ttlMs: asked === 1 ? LIFE_MS : 3_600_000 });
      },
    });
    const asOld = await userToken('renewing', { ttlMs: LIFE_MS });
    await until('a second token', () => (asked >= 2 ? true : undefined));
    const edge = createClient(EdgeService, fetchTransport(mesh.edge));
    await until('the end of the first one', () =>
      edge.listInbox({}, { headers: bearer(asOld) }).then(
        () => undefined,
        () => true,
      ),
    );
    await send('renewing', 1);
    await until('an item', () => (titles.length === 1 ? true : undefined));
    expect(states.filter((state) => state === 'open')).toHaveLength(1);
    expect(asked).toBe(2);
  });

  test('that cannot be renewed ends it; the next token goes on where it was', async () => {
    let backend = true;
    const { titles, states, client } = await listening('late', {
      token: () => {
        if (!backend) throw new Error('the backend is away');
        return userToken('late', { ttlMs: LIFE_MS });
      },
    });
    const errors: string[] = [];
    client.on('error', ({ reason }) => errors.push(reason));
    backend = false;
    await until('the end', () => (errors.includes('TOKEN_EXPIRED') ? true : undefined));
    await send('late', 3);
    backend = true;
    await until('what was sent meanwhile', () => (titles.length === 3 ? true : undefined));
    expect(titles).toEqual(['1', '2', '3']);
    expect(errors).toContain('NO_TOKEN');
    expect(states.filter((state) => state === 'open').length).toBeGreaterThan(1);
  });
});

test('lists and marks, and hears of marks of another device', async () => {
  const here = await listening('marker', { deviceId: 'phone' });
  const there = await listening('marker', { deviceId: 'tablet' });
  const updates: string[] = [];
  there.client.on('update', ({ notificationId, read }) => read && updates.push(notificationId));
  const counts: number[] = [];
  there.client.on('counts', ({ unread }) => counts.push(unread));
  await send('marker', 2);
  await until('both items on both', () =>
    here.ids.length === 2 && there.ids.length === 2 ? true : undefined,
  );
  const { items } = await here.client.listInbox();
  expect(items.map(({ item }) => item?.notificationId)).toEqual([...here.ids].reverse());
  await here.client.mark({ mark: Mark.READ, notificationIds: [here.ids[0]!] });
  await until('the update', () => (updates.length > 0 ? true : undefined));
  expect(updates).toEqual([here.ids[0]]);
  await until('the count', () => (counts.at(-1) === 1 ? true : undefined));
});

test('says whether the user looks, when it connects and when that changes', async () => {
  let current: Activity = Activity.BACKGROUND;
  let changed = () => {};
  const activity = {
    current: () => current,
    listen(listener: () => void) {
      changed = listener;
      return () => {};
    },
  };
  const calls: string[] = [];
  const transport = (url: string): Transport => {
    const inner = fetchTransport(url);
    return {
      stream: (...call) => inner.stream(...call),
      unary: (method, ...call) => {
        calls.push(method.localName);
        return inner.unary(method, ...call);
      },
    };
  };
  const { client } = await listening('looking', { activity, transport });
  expect(calls).toEqual([]);
  const errors: string[] = [];
  client.on('error', ({ reason }) => errors.push(reason));
  current = Activity.FOREGROUND;
  changed();
  await until('the call', () => (calls.includes('setActivity') ? true : undefined));
  expect(errors).toEqual([]);
});
