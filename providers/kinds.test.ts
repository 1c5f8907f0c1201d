// What must hold for every kind, so that it can be configured: names, secrets, the environment; and texts are read as settings.
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { Channel } from '../gen/carillon/v1/notification_pb.ts';
import { resolveConfig } from '../runtime/config-load.ts';
import type { ProviderKind } from './kind.ts';
import { providerKinds } from './kinds.ts';
import { readSettings } from './setting-values.ts';

test('a kind is there once for a channel', () => {
  const names = providerKinds.map(({ kind, channel }) => `${kind} ${channel}`);
  expect(new Set(names).size).toBe(names.length);
});

describe.each(providerKinds.map((kind) => [`${kind.kind} for channel ${kind.channel}`, kind] as const))(
  'the kind %s',
  (_name, kind) => {
    test('takes no setting that it does not know, and asks for those that it needs', () => {
      const read = readSettings(kind, { 'no such setting': 'x' });
      const fields = 'violations' in read ? read.violations.map(({ field }) => field) : [];
      expect(fields).toContain('settings.no such setting');
      expect(fields.length).toBeGreaterThan(1);
    });

    test('finds every secret in the environment, under names that no start refuses', () => {
      expect(Object.keys(kind.environment)).toEqual(expect.arrayContaining([...kind.secrets]));
      const environment = Object.fromEntries(Object.values(kind.environment).map((name) => [name, 'x']));
      expect(Object.keys(environment)).toHaveLength(Object.keys(kind.environment).length);
      expect(() => resolveConfig({ environment })).not.toThrow();
    });
  },
);

describe('texts', () => {
  const kind: ProviderKind = {
    kind: 'typed',
    channel: Channel.SMS,
    settings: z.strictObject({
      name: z.string(),
      count: z.int().min(1).optional(),
      share: z.number().optional(),
      loud: z.boolean().default(false),
      words: z.array(z.string()).optional(),
      password: z
        .string()
        .refine((text) => text === 'right', { error: (issue) => `${issue.input} is wrong` }),
    }),
    environment: { name: 'TYPED_NAME' },
    secrets: ['password'],
    open: () => {
      throw new Error('nobody opens it');
    },
  };
  const needed = { name: '1', password: 'right' };
  const read = (given: Record<string, unknown>) => readSettings(kind, { ...needed, ...given });

  test('are read as what the kind asks for, and a default is not stored', () => {
    const given = { count: '3', share: ' 0.5 ', loud: 'true', words: '["a","b"]', ratePerSecond: '2.5' };
    const values = { ...needed, count: 3, share: 0.5, loud: true, words: ['a', 'b'] };
    expect(read(given)).toEqual({
      values: { ...values, ratePerSecond: 2.5 },
      settings: values,
      perSecond: 2.5,
    });
    expect(read({})).toEqual({
      values: needed,
      settings: { ...needed, loud: false },
      perSecond: undefined,
    });
    const stored = read(given);
    expect('values' in stored && read(stored.values)).toEqual(stored);
  });

  test.each([
    ['a number', { count: 'many' }, 'settings.count'],
    ['a whole number', { count: '1.5' }, 'settings.count'],
    ['a number at all', { share: '' }, 'settings.share'],
    ['true or false', { loud: 'yes' }, 'settings.loud'],
    ['a list', { words: 'a, b' }, 'settings.words'],
    ['a list of texts', { words: '[1]' }, 'settings.words.0'],
    ['a rate', { ratePerSecond: '0' }, 'settings.ratePerSecond'],
    ['something', { name: undefined }, 'settings.name'],
  ])('that are not %s are refused by name', (_what, given, field) => {
    const refused = read(given);
    expect('violations' in refused && refused.violations.map((violation) => violation.field)).toEqual([
      field,
    ]);
  });

  test('that are secrets are not repeated, whatever the kind says; one that is missing is told with its variable', () => {
    expect(read({ password: 'wrong', name: undefined })).toEqual({
      violations: expect.arrayContaining([
        { field: 'settings.password', description: 'is not what this kind takes' },
        { field: 'settings.name', description: 'is missing (in the environment: TYPED_NAME)' },
      ]),
    });
  });
});
