// The pages of push providers say what the code does: every answer, every setting and its name in the environment.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { AnswerRow } from './answers.ts';
import { answersTable } from './answers-page.fixture.ts';
import { apnsKind } from './apns/apns.ts';
import { apnsAnswers } from './apns/apns-errors.ts';
import { fcmKind } from './fcm/fcm.ts';
import { fcmAnswers, fcmTokenAnswers } from './fcm/fcm-errors.ts';
import { webPushKind } from './web-push/web-push.ts';
import { webPushAnswers } from './web-push/web-push-errors.ts';

const page = (name: string) =>
  readFileSync(join(import.meta.dirname, '..', 'docs', 'providers', `${name}.md`), 'utf8');

const pages: [string, Readonly<Record<string, string>>, (readonly AnswerRow[])[]][] = [
  ['fcm', fcmKind.environment, [fcmAnswers, fcmTokenAnswers]],
  ['apns', apnsKind.environment, [apnsAnswers]],
  ['web-push', webPushKind.environment, [webPushAnswers]],
];

describe.each(pages)('the page of %s', (name, environment, tables) => {
  it('has every answer and what it means', () => {
    for (const rows of tables) expect(page(name)).toContain(answersTable(rows));
  });

  it('has every setting', () => {
    for (const [setting, variable] of Object.entries(environment))
      expect(page(name)).toContain(`| \`${setting}\` | \`${variable}\` |`);
  });
});
