// A token for many: made once, renewed ahead of its end, replaced when it was refused.
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../runtime/clock.manual.ts';
import { limits } from '../runtime/limits.ts';
import { Credential, type Made } from './credential.ts';

const calm = () => new AbortController().signal;
const turn = () => new Promise((resolve) => setImmediate(resolve));

function subject(failing: () => boolean = () => false) {
  const clock = new ManualClock();
  let made = 0;
  let held: Promise<void> | undefined;
  const credential = new Credential(
    clock,
    async (): Promise<Made | { outcome: { kind: 'down'; reason: string } }> => {
      made += 1;
      const token = `token-${made}`;
      await held;
      if (failing()) return { outcome: { kind: 'down', reason: 'no' } };
      return { token, renewAtMs: clock.now() + 50_000, endsAtMs: clock.now() + 60_000 };
    },
  );
  return {
    clock,
    credential,
    made: () => made,
    hold() {
      const { promise, resolve } = Promise.withResolvers<void>();
      held = promise;
      return resolve;
    },
  };
}

describe('a credential', () => {
  it('is made once for all who ask at once', async () => {
    const { credential, made } = subject();
    const had = await Promise.all(Array.from({ length: 20 }, () => credential.get(calm())));
    expect(new Set(had.map((each) => 'token' in each && each.token))).toEqual(new Set(['token-1']));
    expect(made()).toBe(1);
  });

  it('is renewed ahead of its end, once, and nobody waits for it', async () => {
    const { clock, credential, made, hold } = subject();
    await credential.get(calm());
    clock.advance(50_000);
    const release = hold();
    const had = await Promise.all([credential.get(calm()), credential.get(calm())]);
    expect(had).toEqual(
      [{ token: 'token-1' }, { token: 'token-1' }].map((each) => expect.objectContaining(each)),
    );
    expect(made()).toBe(2);
    release();
    await turn();
    expect(await credential.get(calm())).toMatchObject({ token: 'token-2' });
    expect(made()).toBe(2);
  });

  it('is used to its end when it cannot be renewed, and asked for again now and then', async () => {
    let failing = false;
    const { clock, credential, made } = subject(() => failing);
    await credential.get(calm());
    failing = true;
    clock.advance(50_000 - 1);
    clock.advance(1);
    for (let n = 0; n < 5; n++) {
      expect(await credential.get(calm())).toMatchObject({ token: 'token-1' });
      await turn();
    }
    expect(made()).toBe(2);
    clock.advance(limits.credentialPauseMs);
    expect(await credential.get(calm())).toEqual({ outcome: { kind: 'down', reason: 'no' } });
    failing = false;
    expect(await credential.get(calm())).toMatchObject({ token: 'token-4' });
  });

  it('is waited for no longer than the call may take, and still made for the others', async () => {
    const { credential, made, hold } = subject();
    const release = hold();
    const hasty = new AbortController();
    const first = credential.get(hasty.signal);
    const second = credential.get(calm());
    hasty.abort();
    expect(await first).toEqual({ outcome: { kind: 'down', reason: 'no token in time' } });
    release();
    expect(await second).toMatchObject({ token: 'token-1' });
    expect(await credential.get(AbortSignal.abort())).toMatchObject({ token: 'token-1' });
    expect(made()).toBe(1);
  });

  it('is replaced when it was refused, and not because an older one was', async () => {
    const { credential, made } = subject();
    await credential.get(calm());
    credential.refuse('token-1');
    expect(await credential.get(calm())).toMatchObject({ token: 'token-2' });
    credential.refuse('token-1');
    expect(await credential.get(calm())).toMatchObject({ token: 'token-2' });
    expect(made()).toBe(2);
  });

  it('that cannot be made is a matter of configuration, and its key is not told', async () => {
    const credential = new Credential(new ManualClock(), () => Promise.reject(new TypeError('key: s3cret')));
    expect(await credential.get(calm())).toEqual({
      outcome: { kind: 'config', reason: 'a token cannot be made (TypeError)' },
    });
  });
});
