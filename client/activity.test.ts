// Whether the user looks at the app: as React Native says it, and told to the edge once for each change, the newest alone.
import { expect, test } from 'vitest';
import { Activity } from '../gen/carillon/v1/edge_pb.ts';
import { type AppStateLike, appStateActivity, pageActivity } from './activity.ts';
import { ActivityTeller } from './activity-teller.ts';
import { settled } from './clock.fixture.ts';
import { ClientError } from './failure.ts';

test('React Native’s AppState is listened to, and let go', () => {
  const listeners = new Set<(state: string) => void>();
  const appState = {
    currentState: 'active' as string,
    addEventListener: (_type: 'change', listener: (state: string) => void) => {
      listeners.add(listener);
      return { remove: () => void listeners.delete(listener) };
    },
  } satisfies AppStateLike;
  const source = appStateActivity(appState);
  const heard: Activity[] = [];
  const stop = source.listen(() => heard.push(source.current()));
  for (const state of ['inactive', 'background', 'active']) {
    appState.currentState = state;
    for (const listener of listeners) listener(state);
  }
  expect(heard).toEqual([Activity.BACKGROUND, Activity.BACKGROUND, Activity.FOREGROUND]);
  stop();
  expect(listeners.size).toBe(0);
});

test('where there is no page nothing is said', () => {
  const source = pageActivity();
  expect(source.current()).toBe(Activity.UNSPECIFIED);
  source.listen(() => {})();
});

test('of many changes while a call is under way the newest is told, and nothing twice', async () => {
  const told: Activity[] = [];
  const answers: (() => void)[] = [];
  const teller = new ActivityTeller({
    send: (_session, activity) => {
      told.push(activity);
      return new Promise<void>((resolve) => answers.push(resolve));
    },
    onError: () => {},
  });
  teller.set(Activity.FOREGROUND);
  expect(told).toEqual([]);
  teller.session('s1', Activity.FOREGROUND);
  await settled();
  expect(told).toEqual([]);
  for (const activity of [Activity.BACKGROUND, Activity.FOREGROUND, Activity.BACKGROUND])
    teller.set(activity);
  answers.shift()?.();
  await settled();
  expect(told).toEqual([Activity.BACKGROUND]);
  teller.set(Activity.FOREGROUND);
  await settled();
  expect(told).toEqual([Activity.BACKGROUND, Activity.FOREGROUND]);
});

test('what could not be told is reported, and said with the next stream', async () => {
  const reasons: string[] = [];
  const told: string[] = [];
  const teller = new ActivityTeller({
    send: async (session) => {
      told.push(session);
      if (session === 's1')
        throw new ClientError({ remedy: 'wait', reason: 'EDGE_UNREACHABLE', message: 'no' });
    },
    onError: ({ reason }) => reasons.push(reason),
  });
  teller.session('s1', Activity.BACKGROUND);
  teller.set(Activity.FOREGROUND);
  await settled();
  teller.session('s2', Activity.BACKGROUND);
  await settled();
  expect([told, reasons]).toEqual([['s1', 's2'], ['EDGE_UNREACHABLE']]);
});
