// A record that could not be handled is kept whole and once, listed until it is replayed, and then as it was.
import { create, toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { keepDeadLetters } from '../eventlog/dead-letters.ts';
import type { ReceivedRecord } from '../eventlog/event-log.ts';
import { channelTopic, rawTopic, userKey } from '../eventlog/topics.ts';
import { ChannelRecordSchema, RawRecordSchema } from '../gen/carillon/v1/event_pb.ts';
import { Channel, Lane } from '../gen/carillon/v1/notification_pb.ts';
import { isUuid, systemIds, uuidTimeMs } from '../runtime/ids.ts';
import { testDatabase } from '../test/support/database.ts';
import {
  countDeadLetters,
  insertDeadLetter,
  listDeadLetters,
  PROVIDER_SOURCE,
  recordsOf,
  takeDeadLetters,
} from './dead-letters.ts';

const AT_MS = 1_800_000_000_123;
const notificationId = systemIds.uuid();
const raw = toBinary(RawRecordSchema, create(RawRecordSchema, { tenant: 'acme', notificationId, upto: 5 }));
const push = toBinary(
  ChannelRecordSchema,
  create(ChannelRecordSchema, { tenant: 'acme', notificationId, userId: 'ada', planChannel: Channel.PUSH }),
);

const received = (offset: bigint, record: Partial<ReceivedRecord> = {}): ReceivedRecord => ({
  topic: rawTopic(Lane.CRITICAL),
  key: 'k',
  value: raw,
  headers: { traceparent: 't' },
  partition: 3,
  offset,
  appendedAtMs: AT_MS,
  ...record,
});
const page = { pageSize: 100, pageToken: '' };

test('a record that comes to the same group again is one letter, and tells whom it is about', async () => {
  await using t = await testDatabase();
  const keep = keepDeadLetters(t.db, 'router');
  const channel = received(7n, {
    topic: channelTopic(Channel.PUSH, Lane.BULK),
    key: userKey('acme', 'ada'),
    value: push,
  });
  await keep(received(7n), new Error('no\0 way'));
  await keep(received(7n), new Error('no way, again'));
  await keep(channel, 'just a text');
  await keepDeadLetters(t.db, 'other')(received(7n), new Error('no'));
  const { letters } = await listDeadLetters(t.db, 'acme', page);
  expect(letters).toHaveLength(3);
  expect(letters.every(({ id }) => isUuid(id) && uuidTimeMs(id) === AT_MS)).toBe(true);
  expect(await countDeadLetters(t.db)).toBe(3);
  const byTopic = new Map(letters.map((letter) => [`${letter.source} ${letter.error}`, letter]));
  expect(byTopic.get('carillon.raw.critical Error: no way')).toMatchObject({
    notificationId,
    lane: Lane.CRITICAL,
    userId: '',
    headers: { traceparent: 't' },
    replayedAt: undefined,
  });
  expect(byTopic.get('carillon.push.bulk just a text')).toMatchObject({
    notificationId,
    lane: Lane.BULK,
    userId: 'ada',
    channel: Channel.PUSH,
  });
});

test('bytes that nobody can read are kept too', async () => {
  await using t = await testDatabase();
  const value = Buffer.from('ffffffffff', 'hex');
  await keepDeadLetters(t.db, 'router')(received(1n, { value }), new Error('malformed'));
  const { letters } = await listDeadLetters(t.db, 'default', page);
  expect(letters.map((letter) => Buffer.from(letter.value).toString('hex'))).toEqual(['ffffffffff']);
});

test('pages follow one another without a gap', async () => {
  await using t = await testDatabase();
  const keep = keepDeadLetters(t.db, 'router');
  for (let n = 0n; n < 7n; n++) await keep(received(n), new Error(`${n}`));
  const ids: string[] = [];
  let pageToken = '';
  do {
    const { letters, nextPageToken } = await listDeadLetters(t.db, 'acme', { pageSize: 3, pageToken });
    ids.push(...letters.map(({ id }) => id));
    pageToken = nextPageToken;
  } while (pageToken !== '');
  expect(new Set(ids).size).toBe(7);
  expect(ids).toEqual([...ids].sort());
});

test('what is replayed comes back as it was, once, and only for its tenant', async () => {
  await using t = await testDatabase();
  const keep = keepDeadLetters(t.db, 'router');
  for (let n = 0n; n < 3n; n++) await keep(received(n, { key: `k${n}` }), new Error('no'));
  await insertDeadLetter(
    t.db,
    { id: systemIds.uuid(), topic: PROVIDER_SOURCE, key: 'k', value: push, headers: {} },
    new Error('tries used up'),
  );
  expect(await t.db.transaction((tx) => takeDeadLetters(tx, 'other'))).toEqual([]);
  const { letters } = await listDeadLetters(t.db, 'acme', page);
  const [first] = letters.filter(({ key }) => key === 'k1');
  const one = await t.db.transaction((tx) => takeDeadLetters(tx, 'acme', [first?.id ?? '']));
  expect(recordsOf(one)).toEqual([
    { topic: rawTopic(Lane.CRITICAL), key: 'k1', value: Buffer.from(raw), headers: { traceparent: 't' } },
  ]);
  const rest = await t.db.transaction((tx) => takeDeadLetters(tx, 'acme'));
  expect(rest).toHaveLength(3);
  expect(
    recordsOf(rest)
      .map(({ key }) => key)
      .sort(),
  ).toEqual(['k0', 'k2']);
  expect(await t.db.transaction((tx) => takeDeadLetters(tx, 'acme'))).toEqual([]);
  expect(await countDeadLetters(t.db)).toBe(0);
});

test('a record that PostgreSQL cannot hold as it is becomes a letter all the same', async () => {
  await using t = await testDatabase();
  const value = toBinary(
    ChannelRecordSchema,
    create(ChannelRecordSchema, {
      tenant: 'ac\0me',
      notificationId,
      userId: 'a\0da',
      planChannel: 70_000 as Channel,
    }),
  );
  const odd = received(1n, {
    topic: channelTopic(Channel.EMAIL, Lane.NORMAL),
    key: 'k\0ey',
    value,
    headers: { traceparent: 't\0', 'bro\0ken': '\ud800' },
  });
  await keepDeadLetters(t.db, 'providers')(odd, new Error('odd'));
  const { letters } = await listDeadLetters(t.db, 'acme', page);
  expect(letters).toMatchObject([
    {
      key: 'key',
      userId: 'ada',
      channel: Channel.UNSPECIFIED,
      headers: { traceparent: 't', broken: '\ufffd' },
    },
  ]);
  expect(new Uint8Array(letters[0]!.value)).toEqual(value);
});
