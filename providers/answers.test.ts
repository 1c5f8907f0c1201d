// Tables of answers: every row can be reached, says where it is from, and names nobody.
import { describe, expect, it } from 'vitest';
import { generalAnswers, outcomeOf, rowOf } from './answers.ts';
import { sendgridAnswers } from './sendgrid/sendgrid-errors.ts';
import { sesAnswers } from './ses/ses-errors.ts';
import { termiiAnswers } from './termii/termii-errors.ts';
import { twilioAnswers } from './twilio/twilio-errors.ts';
import { vonageAnswers } from './vonage/vonage-errors.ts';
import { webhookAnswers } from './webhook/webhook-errors.ts';

describe.each([
  ['SES', sesAnswers],
  ['SendGrid', sendgridAnswers],
  ['Twilio', twilioAnswers],
  ['Termii', termiiAnswers],
  ['Vonage', vonageAnswers],
  ['a webhook', webhookAnswers],
  ['everybody', generalAnswers],
])('the table of %s', (_name, rows) => {
  it('has no row that another one hides', () => {
    for (const row of rows) {
      const status = typeof row.status === 'number' ? row.status : Number(`${row.status?.[0] ?? '7'}77`);
      const { code } = row;
      expect(rowOf(rows, { status, code }), row.says).toBe(row);
    }
  });

  it('says what each row means, and where that is written', () => {
    for (const { says, source } of rows) {
      expect(says).toMatch(/^[a-zA-Z][\w ,.'-]{5,}$/);
      expect(source).toMatch(/^(https:\/\/|RFC \d|docs\/)/);
    }
  });
});

describe('an answer that no table has', () => {
  it.each([
    [200, 'unknown'],
    [307, 'config'],
    [401, 'config'],
    [404, 'config'],
    [408, 'transient'],
    [418, 'permanent'],
    [429, 'throttled'],
    [500, 'down'],
    [504, 'unknown'],
    [599, 'down'],
    [999, 'unknown'],
  ])('of status %i is %s', (status, kind) => expect(outcomeOf([], { status }).kind).toBe(kind));

  it('has no code in its reason that could be anything but a code', () => {
    const said = (code: string) => JSON.stringify(outcomeOf([], { status: 400, code }));
    expect(said('21211')).toContain('21211');
    for (const code of ['ada@example.org', '+15005550001', 'two words', 'x'.repeat(65)])
      expect(said(code)).not.toContain(code);
  });
});
