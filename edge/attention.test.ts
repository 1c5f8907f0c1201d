// Presence says that a user is here, and whether they look: the best of what the clients of their devices say.
import { expect, test } from 'vitest';
import { Activity } from '../gen/carillon/v1/edge_pb.ts';
import { activityAttention } from './attention.ts';
import { settled, testHub } from './hub.fixture.ts';

const { FOREGROUND, BACKGROUND } = Activity;

test('who does not say is taken to be looking', () => {
  expect([Activity.UNSPECIFIED, FOREGROUND, BACKGROUND].map(activityAttention)).toEqual([
    FOREGROUND,
    FOREGROUND,
    BACKGROUND,
  ]);
});

test('follows the first and the last stream, and the best of what they say', async () => {
  const { hub, presence, open } = testHub();
  const phone = open(undefined, 'ada', { attention: BACKGROUND });
  const laptop = open(undefined, 'ada', { attention: FOREGROUND });
  const tablet = open(undefined, 'ada', { attention: BACKGROUND });
  await settled();
  expect(presence.splice(0)).toEqual(['enter ada behind', 'enter ada']);
  hub.setAttention(phone.session, FOREGROUND);
  hub.setAttention(laptop.session, BACKGROUND);
  expect(presence.splice(0)).toEqual([]);
  hub.setAttention(phone.session, BACKGROUND);
  expect(presence.splice(0)).toEqual(['enter ada behind']);
  hub.setAttention(tablet.session, FOREGROUND);
  hub.setAttention(tablet.session, FOREGROUND);
  expect(presence.splice(0)).toEqual(['enter ada']);
  tablet.stream.close('client');
  await settled();
  expect(presence.splice(0)).toEqual(['enter ada behind']);
  for (const { stream } of [laptop, phone]) stream.close('lost');
  await settled();
  expect(presence).toEqual(['leave ada']);
});

test('what the edge holds is told with device, activity, age and last ack', async () => {
  const { hub, port, clock, open, model } = testHub();
  model.add();
  const phone = open(undefined, 'ada', { deviceId: 'phone', attention: BACKGROUND });
  clock.advance(90_000);
  const nameless = open();
  await settled();
  hub.acknowledged(phone.session, 1);
  clock.advance(30_000);
  const [ada, bob] = port.held([
    { tenant: 'default', userId: 'ada' },
    { tenant: 'default', userId: 'bob' },
  ]);
  expect(ada?.streams).toMatchObject([
    {
      sessionId: nameless.session.id,
      deviceId: nameless.session.id,
      activity: FOREGROUND,
      openFor: { seconds: 30n },
    },
    {
      sessionId: phone.session.id,
      deviceId: 'phone',
      activity: BACKGROUND,
      openFor: { seconds: 120n },
      lastAckAge: { seconds: 30n },
    },
  ]);
  expect([ada?.streams[0]?.lastAckAge, bob?.streams]).toEqual([undefined, []]);
});
