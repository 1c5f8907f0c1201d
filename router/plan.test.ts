// What a plan promises for every notification, recipient and whereabouts.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Whereabouts } from '../cluster/presence.ts';
import { Channel, DeliveryState, EscalationCondition } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import { openDeliveryStates } from '../storage/delivery-states.ts';
import {
  type Ask,
  away,
  background,
  everywhere,
  lost,
  NOW,
  online,
  planned,
  recipient,
  vanished,
} from './plan.fixture.ts';
import { plan } from './plan.ts';
import { needsAddresses } from './policy.ts';

const S = DeliveryState;
const channels: Channel[] = [Channel.IN_APP, Channel.PUSH, Channel.EMAIL, Channel.SMS];

const anyAsk: fc.Arbitrary<Ask> = fc.oneof(
  fc.constant({}),
  fc.record({ channels: fc.uniqueArray(fc.constantFrom(...channels), { minLength: 1 }) }),
  fc.record({
    escalation: fc.uniqueArray(
      fc.record({
        channel: fc.constantFrom(...channels),
        afterS: fc.option(fc.nat(7_200), { nil: undefined }),
        condition: fc.constantFrom<EscalationCondition[]>(0, 1, 2),
      }),
      { minLength: 1, maxLength: 4, selector: (step) => step.channel },
    ),
  }),
);
const anyRecipient = fc
  .record({ devices: fc.nat(2), email: fc.boolean(), phone: fc.boolean() })
  .map((has) => recipient(has));
const anyPresence: fc.Arbitrary<Whereabouts> = fc.oneof(
  fc.constantFrom(online, background, away, lost, { ...background, known: false }),
  fc.integer({ min: -2 * limits.lingerMs, max: 2 * limits.lingerMs }).map(vanished),
);
const anyCase = fc.tuple(anyAsk, anyRecipient, anyPresence, fc.integer({ min: -10_000, max: 7_200_000 }));

const askedOf = (ask: Ask): Channel[] =>
  ask.channels ??
  ask.escalation?.map(({ channel }) => channel) ?? [Channel.IN_APP, Channel.PUSH, Channel.EMAIL];

describe('every plan', () => {
  it('has one row, or one for each of the channels that were asked for at once', () => {
    fc.assert(
      fc.property(anyCase, ([ask, who, where, ttl]) => {
        const rows = plan(planned(ask, NOW + ttl), who, where, NOW);
        expect(rows.map((row) => row.channel)).toEqual(ask.channels ?? [askedOf(ask)[0]]);
      }),
    );
  });

  it('looks again at every row that is open, not after it expires, and at no other', () => {
    fc.assert(
      fc.property(anyCase, ([ask, who, where, ttl]) => {
        for (const row of plan(planned(ask, NOW + ttl), who, where, NOW)) {
          expect(row.dueAtMs !== undefined).toBe(openDeliveryStates.includes(row.state));
          if (row.dueAtMs === undefined) continue;
          expect(row.dueAtMs).toBeGreaterThanOrEqual(NOW);
          expect(row.dueAtMs).toBeLessThanOrEqual(NOW + ttl);
        }
      }),
    );
  });

  it('takes only steps that were asked for and that reach the user, in that order, each once', () => {
    fc.assert(
      fc.property(anyCase, ([ask, who, where, ttl]) => {
        const reach: Channel[] = [
          Channel.IN_APP,
          ...(who.devices > 0 ? [Channel.PUSH] : []),
          ...(who.email ? [Channel.EMAIL] : []),
          ...(who.phone ? [Channel.SMS] : []),
        ];
        const rows = plan(planned(ask, NOW + ttl), who, where, NOW);
        const taken = rows.flatMap((row) => row.steps.map((step) => step.channel));
        expect(taken).toEqual(askedOf(ask).filter((channel) => reach.includes(channel)));
        for (const row of rows)
          if (row.steps.length > 0) expect(row.stepChannel).toBe(row.steps[row.step]?.channel);
      }),
    );
  });

  it('stores at most one item, and one whenever the plan begins in the app and has not expired', () => {
    fc.assert(
      fc.property(anyCase, ([ask, who, where, ttl]) => {
        const rows = plan(planned(ask, NOW + ttl), who, where, NOW);
        const stored = rows.filter((row) => row.inInbox);
        expect(stored.length).toBeLessThanOrEqual(1);
        for (const row of rows) expect(row.inInbox).toBe(row.steps[0]?.channel === Channel.IN_APP && ttl > 0);
      }),
    );
  });

  it('leaves the last step without a time limit, and waits for a read where the next step says so', () => {
    fc.assert(
      fc.property(anyCase, ([ask, who, where, ttl]) => {
        for (const row of plan(planned(ask, NOW + ttl), who, where, NOW))
          row.steps.forEach((step, index) => {
            const following = row.steps[index + 1];
            const asked = ask.escalation?.find(({ channel }) => channel === following?.channel);
            expect(step.until).toBe(asked?.condition === EscalationCondition.NOT_READ ? 'read' : 'ack');
            if (!following) expect(step.afterMs).toBe(0);
            else
              expect(step.afterMs).toBe(
                asked?.afterS !== undefined
                  ? asked.afterS * 1_000
                  : step.channel === Channel.IN_APP
                    ? limits.ackDeadlineMs
                    : limits.providerAckDeadlineMs,
              );
          });
      }),
    );
  });

  it('leaves nobody who is online, was a moment ago, or may be, to a provider before the app had its time', () => {
    fc.assert(
      fc.property(anyCase, ([ask, who, where, ttl]) => {
        fc.pre(ttl > 0);
        const here =
          !where.known || where.edges.length > 0 || (where.vanishedAtMs ?? 0) + limits.lingerMs > NOW;
        for (const row of plan(planned(ask, NOW + ttl), who, where, NOW))
          if (row.inInbox && here) expect(row.stepChannel).toBe(Channel.IN_APP);
      }),
    );
  });

  it('is the same for the same input', () => {
    fc.assert(
      fc.property(anyCase, ([ask, who, where, ttl]) => {
        const of = () => plan(planned(ask, NOW + ttl), who, where, NOW);
        expect(of()).toEqual(of());
      }),
    );
  });

  it('asks for addresses only where a provider may be needed', () => {
    fc.assert(
      fc.property(anyAsk, (ask) => {
        expect(needsAddresses(planned(ask).policy)).toBe(askedOf(ask).some((one) => one !== Channel.IN_APP));
      }),
    );
  });
});

describe('a user', () => {
  it('who is online gets it in the app, and then ten seconds to acknowledge it', () => {
    expect(plan(planned(), everywhere, online, NOW)).toMatchObject([
      {
        state: S.WAITING,
        reason: 'ONLINE',
        step: 0,
        stepChannel: Channel.IN_APP,
        dueAtMs: NOW + 10_000,
        inInbox: true,
      },
    ]);
  });

  it('who closed the app gets a push at once, and finds the item in the inbox', () => {
    expect(plan(planned(), everywhere, away, NOW)).toMatchObject([
      {
        channel: Channel.IN_APP,
        state: S.QUEUED,
        reason: 'OFFLINE',
        step: 1,
        stepChannel: Channel.PUSH,
        dueAtMs: NOW + limits.reconcileMs,
        inInbox: true,
      },
    ]);
  });

  it('who vanished two seconds ago has three more to come back', () => {
    expect(plan(planned(), everywhere, vanished(2_000), NOW)).toMatchObject([
      { state: S.WAITING, reason: 'LINGER', step: 0, dueAtMs: NOW + 3_000 },
    ]);
  });

  it('whose vanishing lies in the future of our clock waits no longer than the linger', () => {
    expect(plan(planned(), everywhere, vanished(-60_000), NOW)[0]?.dueAtMs).toBe(NOW + limits.lingerMs);
  });

  it('who can be reached in the app only has it stored, and that is the end of it', () => {
    expect(plan(planned(), recipient(), away, NOW)).toMatchObject([
      {
        state: S.SENT,
        reason: 'STORED',
        dueAtMs: undefined,
        inInbox: true,
        inputs: { left_out: 'push NO_ADDRESS, email NO_ADDRESS' },
      },
    ]);
  });

  it('without an address for anything is skipped, and the row says why', () => {
    const ask = { escalation: [{ channel: Channel.SMS }, { channel: Channel.EMAIL }] };
    expect(plan(planned(ask), recipient(), online, NOW)).toMatchObject([
      {
        channel: Channel.SMS,
        state: S.SKIPPED,
        reason: 'NO_ADDRESS',
        steps: [],
        dueAtMs: undefined,
        inInbox: false,
      },
    ]);
  });

  it('keeps the key of what was asked for when the first step does not reach him', () => {
    const ask = { escalation: [{ channel: Channel.PUSH }, { channel: Channel.EMAIL }] };
    expect(plan(planned(ask), recipient({ email: true }), online, NOW)).toMatchObject([
      { channel: Channel.PUSH, stepChannel: Channel.EMAIL, step: 0, state: S.QUEUED },
    ]);
  });

  it('who is away keeps the time to read that the sender gave', () => {
    const ask = {
      escalation: [
        { channel: Channel.IN_APP },
        { channel: Channel.EMAIL, afterS: 600, condition: EscalationCondition.NOT_READ },
      ],
    };
    expect(plan(planned(ask), everywhere, away, NOW)).toMatchObject([
      { state: S.WAITING, reason: 'UNREAD', stepChannel: Channel.IN_APP, dueAtMs: NOW + 600_000 },
    ]);
  });

  it('gets nothing of what has expired', () => {
    expect(plan(planned({}, NOW), everywhere, online, NOW)).toMatchObject([
      { state: S.EXPIRED, dueAtMs: undefined, inInbox: false },
    ]);
  });
});
