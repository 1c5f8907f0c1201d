// What a person reads of the log: the time, how bad it is, and one line with the cause; no JSON, no stack, no escape sequences.
import { expect, test } from 'vitest';
import { createLog } from '../runtime/log.ts';
import { hearing } from './hearing.fixture.ts';
import { ReadableLog } from './readable-log.ts';

test('a line has the time, the level, the sentence, its cause and what else is known', () => {
  const heard = hearing();
  const log = createLog({ destination: new ReadableLog(heard.cli.terminal) });
  log.warn({ err: new Error('connect\u001b[31m refused\nat once'), host: 'a', deep: {} }, 'Redis is away');
  expect(heard.err).toMatch(
    /^\d\d:\d\d:\d\d warn {2}Redis is away: connect\[31m refused at once \(host=a\)\n$/,
  );
});

test('what would only disturb can be kept back, and comes again afterwards', () => {
  const heard = hearing();
  const readable = new ReadableLog(heard.cli.terminal);
  const log = createLog({ destination: readable });
  readable.leastLevel = 50;
  log.warn('kept back');
  log.error('said');
  readable.leastLevel = 0;
  log.warn('said again');
  expect(heard.err.split('\n').map((line) => line.slice(9))).toEqual(['error said', 'warn  said again', '']);
});
