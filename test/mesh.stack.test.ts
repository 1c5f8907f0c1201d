// Several edges and routers over a real Redis: users are sent to their edge, any edge takes their calls, and an edge that leaves is not missed.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Code, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest';
import { type Mesh, startMesh } from '../cli/compose.ts';
import { hearing } from '../cli/hearing.fixture.ts';
import { parseRoles } from '../cli/roles.ts';
import { Activity, EdgeService, Mark, type SubscribeResponse } from '../gen/carillon/v1/edge_pb.ts';
import { IngestService } from '../gen/carillon/v1/ingest_pb.ts';
import { Channel } from '../gen/carillon/v1/notification_pb.ts';
import { RouterService } from '../gen/carillon/v1/router_pb.ts';
import { bearer } from '../runtime/bearer.ts';
import { resolveConfig } from '../runtime/config-load.ts';
import { silentLog } from '../runtime/log.ts';
import { testDatabase } from './support/database.ts';
import { TEST_SECRET, userHeaders } from './support/tokens.ts';
import { until } from './support/until.ts';

type Frame = SubscribeResponse['frame'];
type FrameOf<C extends Frame['case']> = Extract<Frame, { case: C }>['value'];

const opened = new AsyncDisposableStack();
const edges: Mesh[] = [];
const routers: Mesh[] = [];
let ingest: Mesh;
let backend: { authorization: string };
let users = 0;
const someone = () => `user-${++users}`;

async function serve(roles: string, environment: Record<string, string>): Promise<Mesh> {
  const { config } = resolveConfig({
    environment,
    options: { ingestPort: 0, edgePort: 0, routerPort: 0, opsPort: 0, linkPort: 0 },
  });
  return startMesh({ cli: hearing().cli, config, roles: parseRoles(roles.split(',')), log: silentLog });
}

beforeAll(async () => {
  const database = opened.use(await testDatabase({ connections: 2 }));
  const directory = await mkdtemp(join(tmpdir(), 'carillon-mesh-'));
  opened.defer(() => rm(directory, { recursive: true, force: true }));
  const environment = {
    CARILLON_POSTGRES_URL: database.url,
    CARILLON_REDIS_URL: `${inject('stack').redisUrl}/7`,
    CARILLON_DATA_DIR: directory,
    CARILLON_JWT_SECRET: TEST_SECRET,
    CARILLON_CLUSTER_SECRET: 'a secret that the processes of one mesh share',
  };
  for (const zone of ['north', 'south', 'west'])
    edges.push(opened.use(await serve('edge', { ...environment, CARILLON_ZONE: zone })));
  for (let n = 0; n < 2; n++) routers.push(opened.use(await serve('router', environment)));
  ingest = opened.use(await serve('ingest', environment));
  backend = bearer((await readFile(ingest.keyFile ?? '', 'utf8')).trim());
  await until('linked edges', async () => {
    const all = await Promise.all(routers.map((router) => view(router)));
    return all.every((list) => list.edges.filter(({ linked }) => linked).length === 3) || undefined;
  });
});

afterAll(() => opened.disposeAsync());

const http = (baseUrl = '') => createConnectTransport({ baseUrl, httpVersion: '1.1' });
const router = (mesh: Mesh) => createClient(RouterService, http(mesh.addresses.router));
const view = (mesh: Mesh) => router(mesh).listEdges({}, { headers: backend });
const locate = (userId: string) => router(routers[0]!).locate({ userId }, { headers: backend });
const presenceOf = (userId: string, of = routers[0]!) =>
  router(of).getPresence({ userId }, { headers: backend });
const edgeUrls = () => edges.map(({ addresses }) => addresses.edge ?? '');

/** A client's stream at an edge, and the frames that it got. */
class Device {
  readonly frames: Frame[] = [];
  readonly #call = new AbortController();
  readonly edge;
  readonly headers;
  ended = false;

  constructor(
    url: string,
    headers: Record<string, string>,
    request: { deviceId: string; mayRedirect?: boolean },
  ) {
    this.headers = headers;
    this.edge = createClient(EdgeService, http(url));
    void this.#run(request);
    onTestFinished(() => this.close());
  }

  static async open(url: string, userId: string, more: { deviceId?: string; mayRedirect?: boolean } = {}) {
    const device = new Device(url, await userHeaders(userId), { deviceId: `of ${url}`, ...more });
    await until('greeting', () => device.frames[0]);
    return device;
  }

  async #run(request: { deviceId: string; mayRedirect?: boolean }): Promise<void> {
    const { signal } = this.#call;
    try {
      for await (const { frame } of this.edge.subscribe(request, { headers: this.headers, signal }))
        this.frames.push(frame);
    } catch {
      // Closed by us, or by an edge that has gone.
    }
    this.ended = true;
  }

  of<C extends Frame['case']>(kind: C): FrameOf<C>[] {
    return this.frames.flatMap((frame) => (frame.case === kind ? [frame.value as FrameOf<C>] : []));
  }

  get sessionId(): string {
    return this.of('hello')[0]?.sessionId ?? '';
  }

  /** Resolves with the first frame of the kind that fits. */
  async got<C extends Exclude<Frame['case'], undefined>>(
    kind: C,
    fits: (value: FrameOf<C>) => boolean = () => true,
  ): Promise<FrameOf<C>> {
    const [found] = await until(`${kind} frame`, () => {
      const fitting = this.of(kind).filter(fits);
      return fitting.length > 0 ? fitting : undefined;
    });
    return found!;
  }

  close(): void {
    this.#call.abort();
  }
}

async function send(userId: string, title: string): Promise<void> {
  const client = createClient(IngestService, http(ingest.addresses.ingest));
  await client.send(
    {
      notification: {
        audience: { kind: { case: 'users', value: { ids: [userId] } } },
        content: { title },
        channels: [Channel.IN_APP],
      },
    },
    { headers: backend },
  );
}

test('all processes see the same mesh, and every edge is linked to every router', async () => {
  const [one, other] = await Promise.all(routers.map((mesh) => view(mesh)));
  expect(one?.edges.map(({ zone }) => zone).sort()).toEqual(['north', 'south', 'west']);
  expect(one?.view?.hash).toBe(other?.view?.hash);
  expect(one?.edges.map(({ url }) => url).sort()).toEqual(edgeUrls().sort());
  expect(one?.routers).toHaveLength(2);
  for (const { viewHash, share } of one?.edges ?? []) {
    expect(viewHash).toBe(one?.view?.hash);
    expect(share).toBeCloseTo(1 / 3, 1);
  }
});

test('where Locate sends a user, the edges send the user too; who cannot move is served where they come', async () => {
  const owners = new Set<string>();
  for (let n = 0; n < 12; n++) {
    const userId = someone();
    const { url } = await locate(userId);
    owners.add(url);
    for (const each of edgeUrls()) {
      const device = await Device.open(each, userId, { mayRedirect: true });
      if (each === url) expect(device.sessionId).not.toBe('');
      else expect(device.frames[0]).toMatchObject({ case: 'goAway', value: { reason: 'MOVED', edge: url } });
      device.close();
      const staying = await Device.open(each, userId);
      expect(staying.frames[0]?.case).toBe('hello');
      staying.close();
    }
  }
  expect(owners.size).toBeGreaterThan(1);
});

test('one user at every edge at once gets each item on each device, and what is marked on one is told to the others', async () => {
  const userId = someone();
  const devices = await Promise.all(edgeUrls().map((url) => Device.open(url, userId)));
  await until('presence', async () => (await presenceOf(userId)).edges.length === 3 || undefined);
  await send(userId, 'for all');
  const items = await Promise.all(devices.map((device) => device.got('deliver')));
  expect(new Set(items.map(({ seq, item }) => `${seq} ${item?.content?.title}`)).size).toBe(1);
  const [first, ...others] = devices;
  const { headers } = first!;
  const { notificationId } = items[0]?.item ?? {};
  await first!.edge.markInbox({ notificationIds: [notificationId ?? ''], mark: Mark.READ }, { headers });
  for (const device of others)
    expect(await device.got('update')).toMatchObject({ notificationId, read: true });
});

test('any edge takes what is for a session of another: its activity, as presence then says, and its acks', async () => {
  const userId = someone();
  const [holder, elsewhere] = edgeUrls();
  const device = await Device.open(holder ?? '', userId, { deviceId: 'phone' });
  const { sessionId, headers } = device;
  const other = createClient(EdgeService, http(elsewhere));
  const seen = (of: Mesh) => async () =>
    (await presenceOf(userId, of)).devices.map(({ activity }) => activity);
  for (const activity of [Activity.BACKGROUND, Activity.FOREGROUND]) {
    await other.setActivity({ sessionId, activity }, { headers });
    for (const each of routers) await expect.poll(seen(each), { timeout: 10_000 }).toEqual([activity]);
  }
  await send(userId, 'to be acknowledged');
  const { seq } = await device.got('deliver');
  await other.ack({ sessionId, after: 0, upto: seq }, { headers });
  const acked = async () => (await presenceOf(userId)).devices[0]?.lastAckAge;
  await expect.poll(acked, { timeout: 10_000 }).toBeDefined();
  // Of another user it is not taken.
  const stranger = await userHeaders(someone());
  const theft = other.setActivity({ sessionId, activity: Activity.BACKGROUND }, { headers: stranger });
  await expect(theft).rejects.toMatchObject({ code: Code.NotFound });
});

test('an edge that leaves tells its users where to go, everybody knows of it, and nothing is lost', async () => {
  const leaving = edges.pop();
  const url = leaving?.addresses.edge ?? '';
  let userId = someone();
  while ((await locate(userId)).url !== url) userId = someone();
  const device = await Device.open(url, userId, { mayRedirect: true });
  await send(userId, 'before');
  const { cursor } = await device.got('deliver');
  const gone = leaving?.[Symbol.asyncDispose]();
  const { reason, edge } = await device.got('goAway');
  expect(reason).toBe('DRAIN');
  expect(edgeUrls()).toContain(edge);
  expect((await locate(userId)).url).toBe(edge);
  await send(userId, 'meanwhile');
  const headers = await userHeaders(userId);
  const next = createClient(EdgeService, http(edge));
  const call = new AbortController();
  const titles: (string | undefined)[] = [];
  for await (const { frame } of next.subscribe(
    { cursor, deviceId: 'phone', mayRedirect: true },
    { headers, signal: call.signal },
  )) {
    if (frame.case === 'deliver') titles.push(frame.value.item?.content?.title);
    if (titles.includes('meanwhile')) break;
  }
  call.abort();
  expect(titles).toEqual(['meanwhile']);
  await gone;
  expect(device.ended).toBe(true);
  for (const each of routers) expect((await view(each)).edges).toHaveLength(2);
});
