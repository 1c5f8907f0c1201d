// The pages of providers of mail, text messages and webhooks say what the code does: every answer, every failure, every setting.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Channel } from '../gen/carillon/v1/notification_pb.ts';
import type { AnswerRow } from './answers.ts';
import { answersTable } from './answers-page.fixture.ts';
import type { ProviderKind } from './kind.ts';
import { sendgridKind } from './sendgrid/sendgrid.ts';
import { sendgridAnswers } from './sendgrid/sendgrid-errors.ts';
import { sesKind } from './ses/ses.ts';
import { sesAnswers } from './ses/ses-errors.ts';
import { smtpKind } from './smtp-kind.ts';
import { termiiKind } from './termii/termii.ts';
import { termiiAnswers } from './termii/termii-errors.ts';
import { twilioKind } from './twilio/twilio.ts';
import { twilioAnswers, twilioFailures } from './twilio/twilio-errors.ts';
import { vonageKind } from './vonage/vonage.ts';
import { vonageAnswers, vonageFailures } from './vonage/vonage-errors.ts';
import { webhookKind } from './webhook/webhook.ts';
import { webhookAnswers } from './webhook/webhook-errors.ts';

const page = (name: string) =>
  readFileSync(join(import.meta.dirname, '..', 'docs', 'providers', `${name}.md`), 'utf8');

type Failures = readonly { code: string; permanent: boolean; says: string }[];
const failuresTable = (failures: Failures): string =>
  [
    '| code | permanent | in our words |',
    '|---|---|---|',
    ...failures.map(({ code, permanent, says }) => `| ${code} | ${permanent ? 'yes' : ''} | ${says} |`),
  ].join('\n');

const pages: [string, Pick<ProviderKind, 'environment' | 'secrets'>, readonly AnswerRow[], Failures][] = [
  ['smtp', smtpKind, [], []],
  ['ses', sesKind, sesAnswers, []],
  ['sendgrid', sendgridKind, sendgridAnswers, []],
  ['twilio', twilioKind, twilioAnswers, twilioFailures],
  ['termii', termiiKind, termiiAnswers, []],
  ['vonage', vonageKind, vonageAnswers, vonageFailures],
  ['webhook', webhookKind(Channel.SMS), webhookAnswers, []],
];

describe.each(pages)('the page of %s', (name, { environment, secrets }, answers, failures) => {
  it('has every answer and every failure, and what it means', () => {
    if (answers.length > 0) expect(page(name)).toContain(answersTable(answers));
    if (failures.length > 0) expect(page(name)).toContain(failuresTable(failures));
  });

  it('has every setting, and says which are kept sealed', () => {
    const lines = page(name).split('\n');
    for (const [setting, variable] of Object.entries(environment)) {
      const line = lines.find((one) => one.startsWith(`| \`${setting}\` | \`${variable}\` |`));
      expect(line, setting).toBeDefined();
      expect(line?.includes('kept sealed'), setting).toBe(secrets.includes(setting));
    }
  });
});
