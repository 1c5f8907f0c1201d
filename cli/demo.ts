// What `npm start` shows: a user online and then offline, with the real API on one side and a web app's client on the other.
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-web';
import { AdminService } from '../gen/carillon/v1/admin_pb.ts';
import { type Deliver, EdgeService, Platform } from '../gen/carillon/v1/edge_pb.ts';
import { type Delivery, IngestService } from '../gen/carillon/v1/ingest_pb.ts';
import { Channel } from '../gen/carillon/v1/notification_pb.ts';
import { bearer, withBearer } from '../runtime/bearer.ts';
import { CarillonError } from '../runtime/errors.ts';
import { type GrpcClient, grpcClient } from '../runtime/grpc-service.ts';
import { systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import { Acknowledger } from './acknowledger.ts';
import { type Cli, loadConfig, type OutputOptions, printJson } from './cli.ts';
import type { Mesh } from './compose.ts';
import { backendToken, UserTokens } from './credentials.ts';
import { readKeyFile } from './local-key.ts';
import { channelName, deliveryState, localTimes } from './names.ts';
import { subscription } from './subscription.ts';
import { oneLine } from './terminal.ts';

const USER = 'demo';
const EMAIL = 'demo@example.com';
const PHONE = '+41440000000';
const ONLINE = [
  'Your order has been packed',
  'Your order is on its way',
  'Your order arrives today at 14:00',
];
const OFFLINE = 'Your order is at the door';

interface Demo {
  cli: Cli;
  json: boolean | undefined;
  ingest: GrpcClient<typeof IngestService>;
  admin: GrpcClient<typeof AdminService>;
  edge: ReturnType<typeof createClient<typeof EdgeService>>;
  /** Where the offline user is reached in the end: in the sandbox, whatever else is configured. */
  last: Channel;
}

/** One line for people, or one object for programs. */
function say({ cli, json }: Demo, text: string, event: Record<string, unknown>): void {
  if (json) printJson(cli, { kind: 'demo', ...event });
  else cli.terminal.out(`${text}\n`);
}

const since = (cli: Cli, startMs: number): number => Math.round((cli.clock.monotonic() - startMs) * 10) / 10;

/** Rejects when `work` takes longer than a step of the demo may. */
async function within<T>(cli: Cli, what: string, work: Promise<T>): Promise<T> {
  const given = new AbortController();
  const late = cli.clock
    .sleep(limits.demoStepMs, AbortSignal.any([given.signal, cli.signal]))
    .then((): undefined => undefined);
  try {
    const winner = await Promise.race([work.then((value) => ({ value })), late]);
    if (winner) return winner.value;
    throw new CarillonError(
      'DEADLINE_EXCEEDED',
      `The demo waited ${limits.demoStepMs / 1_000} s for ${what}.`,
    );
  } finally {
    given.abort();
  }
}

/** `mark` comes back with the item: it may arrive before the answer to Send does. */
async function send(demo: Demo, title: string, mark: string): Promise<string> {
  const { notificationId } = await within(
    demo.cli,
    'Send',
    demo.ingest.send({
      notification: {
        category: 'order',
        audience: { kind: { case: 'users', value: { ids: [USER] } } },
        content: { title, body: 'Order 4711', data: { mark } },
        escalation: [
          { channel: Channel.IN_APP },
          { channel: Channel.PUSH, after: durationFromMs(limits.demoPushMs) },
          { channel: demo.last, after: durationFromMs(limits.demoLastMs) },
        ],
      },
    }),
  );
  return notificationId;
}

/** The user looks: three notifications are sent, shown as they arrive, and acknowledged. */
async function online(demo: Demo): Promise<void> {
  const { cli } = demo;
  const leave = new AbortController();
  const waiting = new Map<string, { sentMs: number; arrived: () => void }>();
  const acked = new Map<number, () => void>();
  const acknowledger = new Acknowledger(demo.edge, cli.clock, (items) => {
    for (const { seq } of items) acked.get(seq)?.();
  });
  const arrive = ({ seq, item, traceparent }: Deliver) => {
    const sent = waiting.get(item?.content?.data.mark ?? '');
    // Something that was sent to this user by an earlier demo, or by you.
    if (!sent) return acknowledger.add({ seq, traceparent });
    const arrivalMs = since(cli, sent.sentMs);
    acked.set(seq, () => {
      const ackMs = since(cli, sent.sentMs);
      const title = oneLine(item?.content?.title ?? '');
      say(
        demo,
        `  arrived after ${arrivalMs} ms, ack stored after ${ackMs} ms  ${cli.terminal.paint('bold', title)}`,
        {
          event: 'arrived',
          notification_id: item?.notificationId,
          title,
          arrival_ms: arrivalMs,
          ack_ms: ackMs,
        },
      );
      sent.arrived();
    });
    acknowledger.add({ seq, traceparent });
  };
  const hello = Promise.withResolvers<void>();
  const stream = (async () => {
    const signal = AbortSignal.any([leave.signal, cli.signal]);
    for await (const { frame } of subscription({ client: demo.edge, clock: cli.clock, signal })) {
      if (frame.case === 'hello') {
        acknowledger.sessionId = frame.value.sessionId;
        hello.resolve();
      } else if (frame.case === 'deliver') arrive(frame.value);
    }
  })();
  stream.catch(hello.reject);
  try {
    await within(cli, 'the stream to open', hello.promise);
    say(demo, `\n${USER} opens a stream with @connectrpc/connect-web. A backend sends over gRPC:`, {
      event: 'online',
    });
    for (const title of ONLINE) {
      const arrived = Promise.withResolvers<void>();
      const mark = systemIds.uuid();
      waiting.set(mark, { sentMs: cli.clock.monotonic(), arrived: arrived.resolve });
      await send(demo, title, mark);
      await within(cli, 'a notification to arrive', arrived.promise);
    }
  } finally {
    leave.abort();
    await stream.catch(() => {});
  }
}

/** The user is gone: the next one looks for another way, step by step, and each state is shown as it comes. */
async function offline(demo: Demo): Promise<void> {
  const { cli } = demo;
  say(
    demo,
    `\n${USER} closes the app; its push token is one that the push service no longer knows. The next one:`,
    {
      event: 'offline',
    },
  );
  const sentMs = cli.clock.monotonic();
  const id = await send(demo, OFFLINE, systemIds.uuid());
  const call = new AbortController();
  const watch = demo.ingest.watchNotification({ notificationId: id }, { signal: call.signal });
  let last: Delivery | undefined;
  const follow = (async () => {
    for await (const { status } of watch) {
      const delivery = status?.deliveries[0];
      if (!delivery || (delivery.state === last?.state && delivery.channel === last?.channel)) continue;
      last = delivery;
      const state = deliveryState(delivery.state);
      const channel = channelName(delivery.channel);
      say(
        demo,
        `  ${`${since(cli, sentMs)} ms`.padStart(9)}  ${channel.padEnd(6)} ${state.padEnd(9)} ${oneLine(delivery.reason)}`.trimEnd(),
        {
          event: 'state',
          notification_id: id,
          channel,
          state,
          reason: delivery.reason,
        },
      );
    }
  })();
  try {
    await within(cli, 'the fallback to end', follow);
  } finally {
    call.abort();
    await follow.catch(() => {});
  }
  const { decisions } = await demo.ingest.explain({ notificationId: id, userId: USER });
  for (const { rule, text } of decisions)
    say(demo, `  ${cli.terminal.paint('dim', `why: ${oneLine(localTimes(cli, text))}`)}`, {
      event: 'why',
      rule,
      text,
    });
  const { messages } = await demo.admin.listSandboxMessages({
    userId: USER,
    channel: demo.last,
    limit: 1,
  });
  const kept = messages.find(({ notificationId }) => notificationId === id);
  const kind = demo.last === Channel.EMAIL ? 'a mail' : 'an SMS';
  if (kept)
    say(
      demo,
      `  in the sandbox: ${kind} to ${kept.address}: ${cli.terminal.paint('bold', oneLine(kept.title))}`,
      {
        event: 'sandbox',
        notification_id: id,
        address: kept.address,
        title: kept.title,
      },
    );
}

/** Nobody gets real mail from a demo: where a server for it is configured, here or in another process, an SMS ends it. */
async function lastChannel(admin: GrpcClient<typeof AdminService>, mailServer: boolean): Promise<Channel> {
  const { providers } = await admin.listProviders({});
  const real = providers.some(({ channel, name }) => channel === Channel.EMAIL && name !== 'sandbox');
  return mailServer || real ? Channel.SMS : Channel.EMAIL;
}

/** Shows both ways on a mesh that runs, and what to try next. Throws a CarillonError when something does not come. */
export async function runDemo(cli: Cli, mesh: Mesh, { json }: OutputOptions): Promise<void> {
  const { ingest, edge } = mesh.addresses;
  if (!ingest || !edge) throw new CarillonError('USAGE', 'The demo needs ingest and edge.');
  if (ingest.startsWith('https:'))
    throw new CarillonError('USAGE', 'The demo speaks plain HTTP: start it without CARILLON_TLS_CERT.');
  const address = new URL(ingest).host;
  const key = mesh.keyFile === undefined ? undefined : await readKeyFile(mesh.keyFile);
  const headers = bearer(key ?? (await backendToken(cli, ingest, {})));
  using ingestService = grpcClient(IngestService, address, { headers });
  using adminService = grpcClient(AdminService, address, { headers });
  const tokens = new UserTokens({ cli, user: USER, deviceId: '', options: {} }, () => adminService);
  const demo: Demo = {
    cli,
    json,
    ingest: ingestService,
    admin: adminService,
    edge: createClient(
      EdgeService,
      createConnectTransport({ baseUrl: edge, interceptors: [withBearer(() => tokens.get())] }),
    ),
    last: await lastChannel(adminService, loadConfig(cli).config.smtpUrl !== undefined),
  };
  await adminService.putUser({ user: { id: USER, email: EMAIL, phone: PHONE } });
  await demo.edge.registerDevice({
    deviceId: 'demo-phone',
    platform: Platform.SANDBOX,
    token: 'sandbox:unregistered',
  });
  await online(demo);
  await offline(demo);
  if (json) return;
  const elsewhere = (port: number, url: string, option: string) =>
    new URL(url).port === String(port) ? '' : ` --${option} ${url}`;
  const toIngest = elsewhere(7100, ingest, 'ingest');
  cli.terminal.out(`
Try it from another terminal:
  npx carillon listen --user ada${elsewhere(7200, edge, 'edge')}
  npx carillon send --to ada --title "Hello"${toIngest}
  npx carillon sandbox list${toIngest}
  curl ${ingest}/carillon.v1.IngestService/Send -H "authorization: Bearer $(cat ${mesh.keyFile ?? 'local.key'})" \\
    -H 'content-type: application/json' \\
    -d '{"notification":{"audience":{"users":{"ids":["ada"]}},"content":{"title":"Hello"}}}'
`);
}
