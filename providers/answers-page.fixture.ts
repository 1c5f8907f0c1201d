// The table of answers of a provider as its page in docs/providers shows it.
import type { AnswerRow, Verdict } from './answers.ts';

const outcomes: Record<Verdict, string> = {
  transient: 'transient',
  throttled: 'throttled',
  permanent: 'permanent',
  invalid: 'permanent; the address is deleted: it never was one',
  gone: 'permanent; the address is deleted: it no longer is one',
  policy: 'permanent, and counts against the breaker',
  down: 'down',
  config: 'config: an operator must act',
  unknown: 'unknown',
};

/** One row per answer, in the order in which they are looked through. */
export function answersTable(rows: readonly AnswerRow[]): string {
  const lines = rows.map(({ status = 'any', code, verdict, says, waitMs, source }) => {
    const wait = waitMs === undefined ? '' : `, ${waitMs / 1000} s when it does not say for how long`;
    return `| ${status} | ${code ? `\`${code}\`` : ''} | ${outcomes[verdict]}${wait} | ${says} | ${source} |`;
  });
  return ['| HTTP | code | outcome | in our words | source |', '|---|---|---|---|---|', ...lines].join('\n');
}
