// What every provider keeps, whatever it talks to: one call, one definite outcome, never an exception.
import { describe, expect, it } from 'vitest';
import { message } from './message.fixture.ts';
import type { Message, Outcome, Provider } from './provider.ts';

export interface ProviderHarness extends AsyncDisposable {
  readonly provider: Provider;
  /** An address that the provider takes. */
  readonly address: Message['address'];
  /** An address of another kind. */
  readonly foreign: Message['address'];
  /** The attempt ids of what the far end has taken, in that order. */
  taken(): Promise<readonly string[]> | readonly string[];
  /** Whether this provider can take a message back, and the attempt ids of those that the far end has taken back. */
  clears: false | (() => Promise<readonly string[]> | readonly string[]);
  /** Makes the far end behave so, and gives the address to use; undefined: this provider has no such outcome. */
  provoke(kind: Outcome['kind']): Message['address'] | undefined;
}

const kinds: readonly Outcome['kind'][] = [
  'transient',
  'throttled',
  'permanent',
  'down',
  'config',
  'unknown',
];
const calm = () => new AbortController().signal;

export function providerContract(name: string, open: () => Promise<ProviderHarness>): void {
  describe(`${name}, as a provider`, () => {
    it('hands a message over once, under our id', async () => {
      await using harness = await open();
      const sent = message(harness.address);
      const outcome = await harness.provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
      expect(outcome).toMatchObject({ kind: 'sent', messageId: expect.stringMatching(/./) });
      expect(await harness.taken()).toEqual([sent.attemptId]);
    });

    it('takes many at once', async () => {
      await using harness = await open();
      const many = Array.from({ length: 20 }, () => message(harness.address));
      const outcomes = await Promise.all(
        many.map((one) => harness.provider.send(one, { signal: calm(), attemptId: one.attemptId })),
      );
      expect(outcomes.map(({ kind }) => kind)).toEqual(many.map(() => 'sent'));
      expect([...(await harness.taken())].sort()).toEqual(many.map((one) => one.attemptId).sort());
    });

    it.each(kinds)('says %s when that is what happened', async (kind) => {
      await using harness = await open();
      const address = harness.provoke(kind);
      if (!address) return;
      const sent = message(address);
      const outcome = await harness.provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
      expect(outcome.kind).toBe(kind);
      if (outcome.kind !== 'throttled' && outcome.kind !== 'sent') {
        expect(outcome.reason).toMatch(/\S/);
        const { address: to } = sent;
        if (to.kind === 'email') expect(outcome.reason).not.toContain(sent.content.body);
      }
      // What is not known to be out may be out; what is said not to be out is not.
      if (kind !== 'unknown') expect(await harness.taken()).toEqual([]);
    });

    it('says which addresses it serves, and refuses others for good', async () => {
      await using harness = await open();
      expect(harness.provider.serves(harness.address)).toBe(true);
      expect(harness.provider.serves(harness.foreign)).toBe(false);
    });

    it('does not call when it is too late already', async () => {
      await using harness = await open();
      const sent = message(harness.address);
      const outcome = await harness.provider.send(sent, {
        signal: AbortSignal.abort(),
        attemptId: sent.attemptId,
      });
      expect(['down', 'transient']).toContain(outcome.kind);
      expect(await harness.taken()).toEqual([]);
    });

    it('takes a message back, as often as it is asked, or says that it cannot', async () => {
      await using harness = await open();
      const { provider, clears } = harness;
      expect(provider.clear !== undefined).toBe(clears !== false);
      if (!provider.clear || clears === false) return;
      const [sent, other] = [message(harness.address), message(harness.address)];
      for (const one of [sent, other]) await provider.send(one, { signal: calm(), attemptId: one.attemptId });
      const back = { ...sent, messageId: '' };
      for (let times = 0; times < 3; times++)
        expect(await provider.clear(back, { signal: calm() })).toMatchObject({ kind: 'sent' });
      expect(await clears()).toEqual([sent.attemptId]);
      const never = { ...message(harness.address), messageId: '' };
      expect(await provider.clear(never, { signal: calm() })).toMatchObject({ kind: 'sent' });
      expect(await clears()).toEqual([sent.attemptId]);
      const late = await provider.clear({ ...other, messageId: '' }, { signal: AbortSignal.abort() });
      expect(['down', 'transient']).toContain(late.kind);
      expect(await clears()).toEqual([sent.attemptId]);
    });

    it('may be closed twice', async () => {
      await using harness = await open();
      await harness.provider[Symbol.asyncDispose]();
      await harness.provider[Symbol.asyncDispose]();
    });
  });
}
