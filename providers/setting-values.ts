// Settings as people write them, all text, checked by their kind: what is stored has passed, and no message repeats a value.
import { z } from 'zod';
import type { FieldViolation } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import type { ProviderValues } from '../storage/provider-configs.ts';
import type { ProviderKind } from './kind.ts';

/** Goes with every kind: calls a second that a provider gets from one process at most. */
const RATE = 'ratePerSecond';

const rate = z.coerce
  .number('must be a number')
  .positive('must be above 0')
  .max(limits.providerRateMax, `must be at most ${limits.providerRateMax}`);

/** Reads a text as what the schema asked for; the text itself when it is none. */
function meant(text: string, expected: string): unknown {
  const trimmed = text.trim();
  if (expected === 'number' || expected === 'int') {
    const number = Number(trimmed);
    return trimmed !== '' && Number.isFinite(number) ? number : text;
  }
  if (expected === 'boolean') return trimmed === 'true' ? true : trimmed === 'false' ? false : text;
  if (['object', 'array', 'record', 'tuple'].includes(expected))
    try {
      return JSON.parse(trimmed);
    } catch {
      return text;
    }
  return text;
}

type Issue = z.core.$ZodIssue;

function violation(
  { environment, secrets }: ProviderKind,
  values: ProviderValues,
  issue: Issue,
): FieldViolation {
  const name = String(issue.path[0] ?? '');
  const field = ['settings', ...issue.path.map(String)].join('.');
  if (issue.code === 'unrecognized_keys')
    return {
      field: `settings.${issue.keys.join(', settings.')}`,
      description: 'is not a setting of this kind',
    };
  if (name !== '' && values[name] === undefined) {
    const variable = environment[name];
    return { field, description: `is missing${variable ? ` (in the environment: ${variable})` : ''}` };
  }
  const value = values[name];
  const repeats =
    secrets.includes(name) && typeof value === 'string' && value !== '' && issue.message.includes(value);
  return { field, description: repeats ? 'is not what this kind takes' : issue.message };
}

export interface Read {
  /** As they are stored: what the kind takes, without what it adds by itself. */
  values: ProviderValues;
  /** As the kind opens with them. */
  settings: unknown;
  perSecond: number | undefined;
}

/** The settings, or what is wrong with them. */
export function readSettings(
  kind: ProviderKind,
  given: ProviderValues,
): Read | { violations: readonly FieldViolation[] } {
  const { [RATE]: said, ...own } = given;
  const perSecond = said === undefined ? undefined : rate.safeParse(said);
  const values: Record<string, unknown> = { ...own };
  let parsed = kind.settings.safeParse(values);
  for (const issue of parsed.error?.issues ?? []) {
    const name = String(issue.path[0]);
    const value = values[name];
    if (issue.code === 'invalid_type' && issue.path.length === 1 && typeof value === 'string')
      values[name] = meant(value, issue.expected);
  }
  if (!parsed.success) parsed = kind.settings.safeParse(values);
  const violations = [
    ...(parsed.error?.issues ?? []).map((issue) => violation(kind, values, issue)),
    ...(perSecond?.error?.issues ?? []).map(({ message }) => ({
      field: `settings.${RATE}`,
      description: message,
    })),
  ];
  if (!parsed.success || violations.length > 0) return { violations };
  const bound = perSecond?.data;
  return {
    values: bound === undefined ? values : { ...values, [RATE]: bound },
    settings: parsed.data,
    perSecond: bound,
  };
}
