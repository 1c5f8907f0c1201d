// What a backend may rely on: one notification per key, answers in order, statuses that move, a trace that goes on.
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { expect, test } from 'vitest';
import { CancelOutcome, IngestService, type PublishResponse } from '../gen/carillon/v1/ingest_pb.ts';
import { Channel, DeliveryState, Lane, NotificationState } from '../gen/carillon/v1/notification_pb.ts';
import { systemClock } from '../runtime/clock.ts';
import { grpcClient } from '../runtime/grpc-service.ts';
import { limits } from '../runtime/limits.ts';
import type { Span, SpanOptions, Tracing } from '../runtime/tracing.ts';
import { carillonError } from '../runtime/wire-errors.ts';
import type { Database } from '../storage/database.ts';
import { openDeliveryStates } from '../storage/delivery-states.ts';
import { request, runIngest, stored } from './ingest.fixture.ts';
import { shed } from './shed.ts';

async function insertDelivery(
  db: Database,
  notificationId: string,
  userId: string,
  state: DeliveryState,
  more: { reason?: string; channel?: Channel; inputs?: object } = {},
): Promise<void> {
  await db.query({
    text: `insert into deliveries (notification_id, user_id, channel, tenant, lane, state, reason, steps, step, step_channel, due_at, inputs)
           values ($1, $2, $3, 'default', 2, $4, $5, $6, 0, $3, case when $8 then now() + interval '1 min' end, $7)`,
    values: [
      notificationId,
      userId,
      more.channel ?? Channel.EMAIL,
      state,
      more.reason ?? '',
      JSON.stringify([{ channel: more.channel ?? Channel.EMAIL, afterMs: 0, until: 'ack' }]),
      JSON.stringify(more.inputs ?? {}),
      openDeliveryStates.includes(state),
    ],
  });
}

test('the same Send from 50 connections at once makes one notification', async () => {
  await using ingest = await runIngest();
  const send = request(['ada'], { idempotencyKey: 'one' });
  const answers = await Promise.all(
    Array.from({ length: 50 }, async (_, index) => {
      if (index % 2 === 0) {
        // Channels are shared between clients of the same options, unless told otherwise.
        using client = grpcClient(IngestService, `127.0.0.1:${ingest.port.port}`, {
          headers: ingest.headers,
          'grpc.use_local_subchannel_pool': 1,
        });
        return await client.send(send);
      }
      return createClient(
        IngestService,
        createConnectTransport({ baseUrl: ingest.url, httpVersion: '1.1', interceptors: ingest.signed }),
      ).send(send);
    }),
  );
  expect(new Set(answers.map(({ notificationId }) => notificationId)).size).toBe(1);
  expect(answers.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
  expect(await stored(ingest.db)).toEqual({ notifications: 1, keys: 1 });
  expect(ingest.handoff.committed).toHaveLength(1);
});

test('Publish answers each batch in order while the caller still sends, and counts its doubles', async () => {
  await using ingest = await runIngest();
  const stream = ingest.client.publish();
  const answers: { batch: number; outcomes: (string | undefined)[] }[] = [];
  const answered = (count: number) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (answers.length < count) return;
        stream.off('data', look);
        resolve();
      };
      stream.on('data', look);
      look();
    });
  stream.on('data', ({ batch, results }: PublishResponse) =>
    answers.push({ batch, outcomes: results.map(({ outcome }) => outcome.case) }),
  );
  stream.write({ batch: 7, sends: [request(['a'], { idempotencyKey: 'x' }), request([])] });
  await answered(1);
  for (let batch = 8; batch < 28; batch++)
    stream.write({ batch, sends: [request(['a'], { idempotencyKey: 'x' })] });
  await answered(21);
  stream.end();
  expect(answers[0]).toEqual({ batch: 7, outcomes: ['accepted', 'error'] });
  expect(answers.map(({ batch }) => batch)).toEqual(Array.from({ length: 21 }, (_, index) => 7 + index));
  expect(await stored(ingest.db)).toEqual({ notifications: 1, keys: 1 });
});

test('GetNotification turns pages over all deliveries and counts them', async () => {
  await using ingest = await runIngest();
  const { notificationId } = await ingest.client.send(request(['a', 'b', 'c', 'd', 'e']));
  for (const user of ['c', 'a', 'e', 'b', 'd'])
    await insertDelivery(
      ingest.db,
      notificationId,
      user,
      user < 'c' ? DeliveryState.QUEUED : DeliveryState.DELIVERED,
    );
  const seen: string[] = [];
  let pageToken = '';
  do {
    const page = await ingest.client.getNotification({ notificationId, pageSize: 2, pageToken });
    seen.push(...(page.status?.deliveries.map(({ userId }) => userId) ?? []));
    expect(page.status?.counts).toMatchObject([
      { state: DeliveryState.QUEUED, count: 2 },
      { state: DeliveryState.DELIVERED, count: 3 },
    ]);
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  expect(seen).toEqual(['a', 'b', 'c', 'd', 'e']);
});

test('WatchNotification tells each change and ends when nothing is due any more', async () => {
  await using ingest = await runIngest();
  const { notificationId } = await ingest.client.send(request(['ada']));
  const states: (DeliveryState | undefined)[] = [];
  for await (const { status } of ingest.client.watchNotification({ notificationId })) {
    states.push(status.deliveries[0]?.state);
    if (states.length === 1) {
      await insertDelivery(ingest.db, notificationId, 'ada', DeliveryState.QUEUED);
      await ingest.db.query({ text: 'update notifications set state = 4, expanded = 1, due_at = null' });
    } else if (states.length === 2)
      await ingest.db.query({
        text: 'update deliveries set state = 4, due_at = null, updated_at = clock_timestamp()',
      });
  }
  expect(states).toEqual([undefined, DeliveryState.QUEUED, DeliveryState.SENT]);
});

test('a watch ends with SHUTTING_DOWN when the port closes, and calls in flight are answered', async () => {
  await using ingest = await runIngest();
  const { notificationId } = await ingest.client.send(request(['ada']));
  const watch = ingest.client.watchNotification({ notificationId });
  const ended = new Promise((resolve) => watch.once('error', resolve));
  await new Promise((resolve) => watch.once('data', resolve));
  const released = Promise.withResolvers<void>();
  const locked = Promise.withResolvers<void>();
  const holder = ingest.db.transaction(async (tx) => {
    await tx.query({ text: 'lock table idempotency_keys in access exclusive mode' });
    locked.resolve();
    await released.promise;
  });
  await locked.promise;
  const overHttp1 = createClient(
    IngestService,
    createConnectTransport({ baseUrl: ingest.url, httpVersion: '1.1', interceptors: ingest.signed }),
  );
  const slow = [
    ingest.client.send(request(['ada'], { idempotencyKey: 'grpc' })),
    overHttp1.send(request(['ada'], { idempotencyKey: 'http1' })),
  ];
  await expect.poll(() => ingest.waiting()).toBe(2);
  const closed = ingest.port.close(10_000);
  expect(carillonError(await ended)).toMatchObject({ reason: 'SHUTTING_DOWN', retryAfterMs: 1_000 });
  released.resolve();
  await holder;
  expect((await Promise.all(slow)).map(({ duplicate }) => duplicate)).toEqual([false, false]);
  await closed;
  await ingest.port.close(0);
  await expect(fetch(ingest.url)).rejects.toThrow();
});

test('a scheduled notification waits without a record, and can be cancelled', async () => {
  await using ingest = await runIngest();
  const sendAt = timestampFromMs(systemClock.now() + 3_600_000);
  const { notificationId } = await ingest.client.send(
    request(['ada', 'grace'], { notification: { sendAt } }),
  );
  expect(ingest.handoff.committed).toEqual([]);
  const { status } = await ingest.client.getNotification({ notificationId });
  expect(status?.state).toBe(NotificationState.SCHEDULED);
  const why = await ingest.client.explain({ notificationId, userId: 'ada' });
  expect(why.decisions.map(({ rule }) => rule)).toEqual(['accepted', 'scheduled', 'undecided']);
  expect(await ingest.client.cancel({ notificationId })).toMatchObject({
    outcome: CancelOutcome.CANCELLED,
    cancelled: 2,
    tooLate: 0,
  });
  const again = await ingest.client.getNotification({ notificationId });
  expect(again.status?.state).toBe(NotificationState.CANCELLED);
});

test('Explain is for recipients only', async () => {
  await using ingest = await runIngest();
  const { notificationId } = await ingest.client.send(request(['ada']));
  const error = carillonError(await ingest.client.explain({ notificationId, userId: 'eve' }).catch((e) => e));
  expect(error.reason).toBe('DELIVERY_NOT_FOUND');
});

test("the caller's trace goes on through the commit into the row and the record", async () => {
  const spans: { name: string; parent: string | undefined; own: string; ended: boolean }[] = [];
  const make = (name: string, { parent }: SpanOptions): Span => {
    const own = `00-0af7651916cd43dd8448eb211c80319c-${String(spans.length + 1).padStart(16, '0')}-01`;
    const span = { name, parent, own, ended: false };
    spans.push(span);
    return {
      traceparent: own,
      set() {},
      fail() {},
      end() {
        span.ended = true;
      },
    };
  };
  const tracing: Tracing = {
    root: make,
    span: make,
    flush: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  await using ingest = await runIngest({ tracing });
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  await ingest.client.send(request(['ada']), { headers: { traceparent } });
  expect(spans).toMatchObject([
    { name: 'Send', parent: traceparent, ended: true },
    { name: 'commit', parent: spans[0]?.own, ended: true },
  ]);
  const { rows } = await ingest.db.query<{ traceparent: string }>({
    text: 'select traceparent from notifications',
  });
  expect(rows).toEqual([{ traceparent: spans[1]?.own }]);
  expect(ingest.handoff.committed[0]?.headers).toEqual({ traceparent: spans[1]?.own });
});

test('when the log stands still bulk is refused first, then normal, critical last; half an hour passes on all', async () => {
  const refused = (oldestMs: number, bytes = 0) =>
    [Lane.BULK, Lane.NORMAL, Lane.CRITICAL].filter((lane) => {
      try {
        shed({ backlog: () => ({ bytes, oldestMs }) }, lane);
        return false;
      } catch (error) {
        expect(error).toMatchObject({ reason: 'OVERLOADED', retryAfterMs: limits.shedRetryMs });
        return true;
      }
    });
  expect(refused(30 * 60_000)).toEqual([]);
  expect(refused(40 * 60_000)).toEqual([Lane.BULK]);
  expect(refused(90 * 60_000)).toEqual([Lane.BULK, Lane.NORMAL]);
  expect(refused(180 * 60_000)).toEqual([Lane.BULK, Lane.NORMAL, Lane.CRITICAL]);
  expect(refused(0, limits.shedBulkBytes + 1)).toEqual([Lane.BULK]);
  expect(refused(0, limits.shedCriticalBytes + 1)).toEqual([Lane.BULK, Lane.NORMAL, Lane.CRITICAL]);

  await using ingest = await runIngest();
  ingest.handoff.oldestMs = 40 * 60_000;
  const error = carillonError(
    await ingest.client.send(request(['a'], { notification: { lane: Lane.BULK } })).catch((e) => e),
  );
  expect(error).toMatchObject({ reason: 'OVERLOADED', retryAfterMs: limits.shedRetryMs });
  await ingest.client.send(request(['a']));
});
