// docs/configuration.md is what the schema says.
import { expect, test } from 'vitest';
import { settings } from '../runtime/config.ts';
import { configurationPage } from './config-page.ts';

test('docs/configuration.md says what the schema says', async () => {
  await expect(configurationPage()).toMatchFileSnapshot('../docs/configuration.md');
});

test('every setting is described and has an example', () => {
  for (const { description, example } of settings) {
    expect(description).toMatch(/\.$/);
    expect(example).not.toBe('');
  }
});
