// An error says the same on every wire, survives the way there and back, and never takes its cause along.

import { Code, ConnectError } from '@connectrpc/connect';
import { errorFromJsonBytes, errorToJsonBytes } from '@connectrpc/connect/protocol-connect';
import type { ServiceError } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { CarillonError, type ReasonName, reasons } from './errors.ts';
import { limits } from './limits.ts';
import type { Log } from './log.ts';
import { carillonError, ownError, toConnectError, toGrpcStatus } from './wire-errors.ts';

const wires = {
  gRPC: (error: unknown) => Object.assign(new Error('x'), toGrpcStatus(error)) as ServiceError,
  Connect: (error: unknown) =>
    errorFromJsonBytes(
      errorToJsonBytes(toConnectError(error), undefined),
      undefined,
      new ConnectError('broken'),
    ),
};

describe.each(Object.entries(wires))('over %s', (_name, there) => {
  test.each(Object.keys(reasons) as ReasonName[])('%s comes back as it went', (reason) => {
    const violations = [{ field: 'notification.content.title', description: 'too long' }];
    const sent = new CarillonError(reason, `A sentence of its own: ü ${reason}.`, {
      retryAfterMs: 1_250,
      violations,
    });
    const { code, message, retryAfterMs, violations: back } = carillonError(there(sent));
    expect({ code, message, retryAfterMs }).toEqual({
      code: sent.code,
      message: sent.message,
      retryAfterMs: 1_250,
    });
    expect(back).toMatchObject(violations);
  });

  test('an unknown error becomes INTERNAL and keeps its cause at home', () => {
    const back = carillonError(there(new Error('password=hunter2')));
    expect(back).toMatchObject({ reason: 'INTERNAL', message: reasons.INTERNAL.sentence });
    expect(JSON.stringify(there(new Error('password=hunter2')))).not.toContain('hunter2');
    const wrapped = new CarillonError('STORE_UNAVAILABLE', undefined, { cause: new Error('hunter2') });
    expect(JSON.stringify(there(wrapped))).not.toContain('hunter2');
  });

  test('whatever the sentence holds, headers take it, bounded', () => {
    const back = carillonError(
      there(new CarillonError('INVALID_REQUEST', `a\r\nb\0\ud800${'x'.repeat(100_000)}`)),
    );
    expect(back.message.startsWith('a b')).toBe(true);
    expect(back.message.isWellFormed()).toBe(true);
    expect(back.message.length).toBeLessThanOrEqual(limits.errorSentenceChars);
    const many = Array.from({ length: 10_000 }, () => ({ field: 'f'.repeat(10_000), description: 'd' }));
    const crowded = carillonError(there(new CarillonError('INVALID_REQUEST', 'm', { violations: many })));
    expect(crowded.violations).toHaveLength(limits.errorViolationsCount);
  });
});

test("a caller that went away is nobody's error, and not logged", () => {
  const lines: unknown[] = [];
  const log = { error: (line: unknown) => lines.push(line) } as unknown as Log;
  const gone = new AbortController();
  gone.abort();
  expect(ownError(gone.signal.reason, log)).toBeUndefined();
  expect(ownError(Object.assign(new Error('x'), { code: 'ECONNRESET' }), log)).toBeUndefined();
  expect(lines).toEqual([]);
  expect(ownError(new Error('x'), log)?.reason).toBe('INTERNAL');
  expect(lines).toHaveLength(1);
});

test('nobody listening is said so', () => {
  expect(carillonError(new ConnectError('ECONNREFUSED', Code.Unavailable)).reason).toBe('UNREACHABLE');
  expect(carillonError(new ConnectError('aborted', Code.Aborted)).reason).toBe('UNREACHABLE');
  const refused = Object.assign(new Error('14'), {
    code: 14,
    details: 'No connection established',
    metadata: undefined,
  });
  expect(carillonError(refused).reason).toBe('UNREACHABLE');
  expect(carillonError(new Error('anything')).reason).toBe('INTERNAL');
});
