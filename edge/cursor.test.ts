// Cursors come back as they went out, and nothing else is taken for one.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CarillonError } from '../runtime/errors.ts';
import { CURSOR_CHARS, CursorWriter, formatCursor, MAX_SEQ, parseCursor } from './cursor.ts';

const cursors = fc.record({
  epoch: fc.stringMatching(/^[0-9a-f]{8}$/),
  seq: fc.nat(MAX_SEQ),
  timeMs: fc.nat(36 ** 9 - 1),
});

test('what is written is read, as text and as bytes', () => {
  fc.assert(
    fc.property(cursors, cursors, (first, second) => {
      const text = formatCursor(first);
      expect(text).toHaveLength(CURSOR_CHARS);
      expect(parseCursor(text)).toEqual(first);
      const writer = new CursorWriter(first.epoch);
      const bytes = Buffer.alloc(CURSOR_CHARS + 2, '-');
      writer.write(bytes, 1, second.seq, second.timeMs);
      writer.write(bytes, 1, first.seq, first.timeMs);
      expect(bytes.toString()).toBe(`-${text}-`);
    }),
  );
});

test('what Carillon did not give out is refused', () => {
  const good = formatCursor({ epoch: '0123abcd', seq: 5, timeMs: 1 });
  const bad = [
    '',
    'x',
    `${good}0`,
    good.slice(1),
    `2${good.slice(1)}`,
    good.toUpperCase(),
    `${good.slice(0, -6)}zzzzzz`,
    `${good}\n`,
  ];
  for (const text of bad)
    expect(() => parseCursor(text), JSON.stringify(text)).toThrow(new CarillonError('CURSOR_MALFORMED'));
});
