// Fault windows: what they cover, and until when something accepted near one may take.
import { expect, test } from 'vitest';
import { Windows, windowsOf } from './windows.ts';

const fault = (beganMs: number, healedMs: number | undefined) => ({
  what: `at ${beganMs}`,
  beganMs,
  healedMs,
});

test('a window lasts until the mesh has had its time to recover', () => {
  expect(windowsOf([fault(100, 300)], 50, 1_000)).toMatchObject([
    { beganMs: 100, healedMs: 300, endMs: 350 },
  ]);
});

test('faults whose windows touch are one, and those that do not are not', () => {
  const windows = windowsOf(
    [fault(1_000, 1_010), fault(350, 360), fault(100, 300), fault(120, 130)],
    50,
    2_000,
  );
  expect(windows.map(({ beganMs, endMs, faults }) => [beganMs, endMs, faults.length])).toEqual([
    [100, 410, 3],
    [1_000, 1_060, 1],
  ]);
});

test('a long fault that began first keeps the window open over a short one', () => {
  expect(windowsOf([fault(0, 900), fault(10, 20)], 50, 2_000)).toMatchObject([{ beganMs: 0, endMs: 950 }]);
});

test('a fault that did not heal lasts until now', () => {
  expect(windowsOf([fault(100, undefined)], 50, 700)).toMatchObject([{ beganMs: 100, endMs: 750 }]);
});

test('every moment of a span is asked for', () => {
  const windows = new Windows(windowsOf([fault(100, 200), fault(500, 600)], 50, 1_000));
  expect(windows.touching(0, 99)).toBeUndefined();
  expect(windows.touching(0, 100)?.beganMs).toBe(100);
  expect(windows.touching(250, 260)?.beganMs).toBe(100);
  expect(windows.touching(251, 499)).toBeUndefined();
  expect(windows.touching(251, 500)?.beganMs).toBe(500);
  expect(windows.touching(0, 9_999)?.beganMs).toBe(100);
  expect(windows.touching(651, 9_999)).toBeUndefined();
});

test('what is accepted near a fault is due when that has been recovered from', () => {
  const windows = new Windows(windowsOf([fault(100, 200)], 50, 1_000));
  expect(windows.dueMs(20, 50)).toBe(70);
  expect(windows.dueMs(60, 50)).toBe(250);
  expect(windows.dueMs(240, 50)).toBe(290);
  expect(windows.dueMs(300, 50)).toBe(350);
});

test('the time inside windows is counted within a span', () => {
  const windows = new Windows(windowsOf([fault(100, 200), fault(500, 600)], 50, 1_000));
  expect(windows.insideMs(0, 1_000)).toBe(300);
  expect(windows.insideMs(120, 520)).toBe(150);
});
