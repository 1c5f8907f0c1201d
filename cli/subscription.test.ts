// A stream goes on over every end of a connection: from its cursor, after the right wait, until there is no use in it.
import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { type SubscribeResponse, SubscribeResponseSchema } from '../gen/carillon/v1/edge_pb.ts';
import { ManualClock } from '../runtime/clock.manual.ts';
import { CarillonError } from '../runtime/errors.ts';
import { toConnectError } from '../runtime/wire-errors.ts';
import { type SubscriptionOptions, subscription } from './subscription.ts';

type Frame = NonNullable<Parameters<typeof create<typeof SubscribeResponseSchema>>[1]>;
const hello: Frame = { frame: { case: 'hello', value: { cursor: 'c0', heartbeat: durationFromMs(1_000) } } };
const item = (seq: number): Frame => ({ frame: { case: 'deliver', value: { seq, cursor: `c${seq}` } } });

/** Each connection yields its frames and then ends, with the error if there is one; `silent` never ends by itself. */
interface Connection {
  frames: Frame[];
  error?: Error;
  silent?: boolean;
}

function edge(connections: Connection[]) {
  const cursors: (string | undefined)[] = [];
  const client = {
    async *subscribe(request: { cursor?: string }, { signal }: { signal: AbortSignal }) {
      cursors.push(request.cursor);
      const { frames, error, silent } = connections.shift() ?? { frames: [], silent: true };
      for (const frame of frames) yield create(SubscribeResponseSchema, frame as never);
      if (error) throw error;
      if (silent)
        await new Promise((_, reject) =>
          signal.addEventListener('abort', () => reject(new ConnectError('aborted', Code.Canceled)), {
            once: true,
          }),
        );
    },
  };
  return { cursors, client: client as unknown as SubscriptionOptions['client'] };
}

function open(connections: Connection[], cursor?: string) {
  const clock = new ManualClock();
  const end = new AbortController();
  const { cursors, client } = edge(connections);
  const waits: number[] = [];
  const seen: SubscribeResponse['frame']['case'][] = [];
  const stream = (async () => {
    const frames = subscription({
      client,
      cursor,
      clock,
      signal: end.signal,
      onLost: (_error, waitMs) => waits.push(waitMs),
    });
    for await (const { frame } of frames) seen.push(frame.case);
  })();
  stream.catch(() => {});
  return { clock, cursors, waits, seen, stream, end: () => end.abort() };
}

test('it goes on from the last cursor after a connection broke', async () => {
  const s = open(
    [{ frames: [hello, item(1), item(2)], error: new ConnectError('reset', Code.Unavailable) }],
    'start',
  );
  await expect.poll(() => s.waits.length).toBe(1);
  expect(s.waits[0]).toBeGreaterThanOrEqual(125);
  expect(s.waits[0]).toBeLessThanOrEqual(250);
  s.clock.advance(250);
  await expect.poll(() => s.cursors).toEqual(['start', 'c2']);
  s.end();
  await s.stream;
  expect(s.seen).toEqual(['hello', 'deliver', 'deliver']);
});

test('it waits as long as a GoAway asks for', async () => {
  const goAway: Frame = {
    frame: { case: 'goAway', value: { reason: 'DRAIN', reconnectAfter: durationFromMs(3_000) } },
  };
  const s = open([{ frames: [hello, goAway] }]);
  await expect.poll(() => s.waits).toEqual([3_000]);
  s.clock.advance(2_999);
  expect(s.cursors).toHaveLength(1);
  s.clock.advance(1);
  await expect.poll(() => s.cursors).toEqual([undefined, 'c0']);
  s.end();
  await s.stream;
});

test('a connection that says nothing for two heartbeats is left', async () => {
  const s = open([{ frames: [hello], silent: true }]);
  await expect.poll(() => s.seen).toEqual(['hello']);
  await expect
    .poll(() => {
      s.clock.advance(2_000);
      return s.waits.length;
    })
    .toBe(1);
  s.end();
  await s.stream;
});

test('a first connection that fails is an error at once, and so is a refusal for good', async () => {
  const first = open([{ frames: [], error: new ConnectError('refused', Code.Unavailable) }]);
  await expect(first.stream).rejects.toMatchObject({ reason: 'UNREACHABLE' });
  const later = open([
    { frames: [hello], error: new ConnectError('reset', Code.Unavailable) },
    { frames: [], error: toConnectError(new CarillonError('CURSOR_AHEAD')) },
  ]);
  await expect.poll(() => later.waits.length).toBe(1);
  later.clock.advance(250);
  await expect(later.stream).rejects.toMatchObject({ reason: 'CURSOR_AHEAD' });
});
