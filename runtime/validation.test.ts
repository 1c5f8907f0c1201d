// What breaks a rule is named by its path and its rule.
import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { SendBatchRequestSchema, SendRequestSchema } from '../gen/carillon/v1/ingest_pb.ts';
import { CarillonError } from './errors.ts';
import { validate, violationsOf } from './validation.ts';

const users = (...ids: string[]) => ({ kind: { case: 'users', value: { ids } } }) as const;

test('a message that keeps the rules passes', () => {
  const request = create(SendRequestSchema, {
    notification: { audience: users('ada'), content: { title: 't' } },
  });
  expect(violationsOf(SendRequestSchema, request)).toEqual([]);
  expect(() => validate(SendRequestSchema, request)).not.toThrow();
});

test('paths lead through lists, maps and messages', () => {
  const request = create(SendBatchRequestSchema, {
    sends: [
      { notification: { audience: users('ada'), content: { title: 't' } } },
      {
        notification: {
          audience: users('ada', ''),
          content: { title: 't', data: { [`k${'x'.repeat(500)}`]: 'v' } },
        },
      },
    ],
  });
  const fields = violationsOf(SendBatchRequestSchema, request).map(({ field }) => field);
  expect(fields[0]).toBe('sends[1].notification.audience.users.ids[1]');
  expect(fields[1]?.startsWith('sends[1].notification.content.data["kxxx')).toBe(true);
  expect(fields[1]?.length).toBeLessThanOrEqual(200);
  expect(violationsOf(SendBatchRequestSchema, request, 'outer')[0]?.field).toBe(
    'outer.sends[1].notification.audience.users.ids[1]',
  );
});

test('the message names the first three and counts the rest', () => {
  const ids = ['', '', '', '', ''];
  const request = create(SendRequestSchema, {
    notification: { audience: users(...ids), content: { title: 't' } },
  });
  try {
    validate(SendRequestSchema, request);
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(CarillonError);
    const { reason, message, violations } = error as CarillonError;
    expect(reason).toBe('INVALID_REQUEST');
    expect(message).toMatch(/^notification\.audience\.users\.ids\[0\]: .*; and 2 more$/);
    expect(violations).toHaveLength(5);
  }
});
