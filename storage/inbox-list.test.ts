// A list is stable while marks are made, and devices are kept to a bound.
import { expect, test } from 'vitest';
import { testDatabase } from '../test/support/database.ts';
import { seedInbox } from '../test/support/inbox-rows.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import { registerDevice } from './devices.ts';
import { listInbox } from './inbox-list.ts';
import { markInbox } from './inbox-marks.ts';

const handoff = new RecordingHandoff();
const ada = { tenant: 'default', userId: 'ada' };
const first = { ...ada, before: 2_147_483_647, unreadOnly: false, includeArchived: false, count: 10 };

test('newest first; what is read or archived may be left out', async () => {
  await using t = await testDatabase();
  const ids = await seedInbox(t.db, { users: ['ada', 'bob'], count: 4 });
  await markInbox(t.db, handoff, { ...ada, kind: 'read', what: { notificationIds: [ids[0]!] } });
  await markInbox(t.db, handoff, { ...ada, kind: 'archived', what: { notificationIds: [ids[1]!] } });
  const places = async (request: Partial<typeof first>) =>
    (await listInbox(t.db, { ...first, ...request })).items.map(({ firstSeq }) => firstSeq);
  expect(await places({})).toEqual([4, 3, 1]);
  expect(await places({ unreadOnly: true })).toEqual([4, 3]);
  expect(await places({ includeArchived: true })).toEqual([4, 3, 2, 1]);
  expect(await places({ count: 2, before: 4 })).toEqual([3, 1]);
  expect(await listInbox(t.db, { ...first, count: 1 })).toMatchObject({
    head: 6,
    unseen: 2,
    unread: 2,
    items: [{ seq: 4, firstSeq: 4, notificationId: ids[3], seen: false, read: false, archived: false }],
  });
  expect(await listInbox(t.db, { ...first, userId: 'eve' })).toEqual({
    head: 0,
    unseen: 0,
    unread: 0,
    items: [],
  });
});

test('a device registers again with its new token; the oldest go past the bound', async () => {
  await using t = await testDatabase();
  const register = (deviceId: string, token: string) =>
    registerDevice(t.db, { ...ada, deviceId, platform: 4, token }, 2);
  await register('phone', 'old');
  await register('phone', 'new');
  await register('laptop', 'x');
  await register('tablet', 'y');
  const { rows } = await t.db.query<{ device_id: string; token: string }>({
    text: `select device_id, token from devices order by device_id`,
  });
  expect(rows).toEqual([
    { device_id: 'laptop', token: 'x' },
    { device_id: 'tablet', token: 'y' },
  ]);
});
