// The lattice moves forward only, always lets an ack through, and is the same as docs/states.md.
import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DeliveryState,
  DeliveryStateSchema,
  NotificationState,
  NotificationStateSchema,
} from '../gen/carillon/v1/notification_pb.ts';
import {
  deliveryMoves,
  mayBecome,
  notificationMayBecome,
  notificationMoves,
  openDeliveryStates,
  openNotificationStates,
  sqlMayBecome,
} from './delivery-states.ts';

const states = DeliveryStateSchema.values.map((value) => value.number as DeliveryState);
const real = states.filter((state) => state !== DeliveryState.UNSPECIFIED);
const acked: DeliveryState[] = [DeliveryState.DELIVERED, DeliveryState.OPENED];

describe('the lattice of deliveries', () => {
  it('knows every state of the protocol', () => {
    expect(Object.keys(deliveryMoves).map(Number).sort()).toEqual([...states].sort());
  });

  it('lets an ack through from everywhere, and a read mark after it', () => {
    for (const state of real) {
      if (!acked.includes(state)) expect(deliveryMoves[state] ?? []).toContain(DeliveryState.DELIVERED);
      if (state !== DeliveryState.OPENED) expect(deliveryMoves[state] ?? []).toContain(DeliveryState.OPENED);
    }
  });

  it('never leads back from what a client acknowledged, whatever happens in whatever order', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...real),
        fc.array(fc.constantFrom(...real), { maxLength: 40 }),
        (from, asked) => {
          let state = from;
          let wasAcked = acked.includes(state);
          for (const to of asked) {
            if (!deliveryMoves[state]?.includes(to)) continue;
            if (wasAcked) expect(acked).toContain(to);
            if (state === DeliveryState.OPENED) throw new Error('OPENED moved');
            state = to;
            wasAcked ||= acked.includes(state);
          }
        },
      ),
    );
  });

  it('leads from an end only to an ack, a worse receipt for SENT, or a replay of DEAD', () => {
    for (const state of real.filter((s) => !openDeliveryStates.includes(s) && s !== DeliveryState.SENT))
      for (const to of deliveryMoves[state] ?? [])
        expect(acked.includes(to) || (state === DeliveryState.DEAD && to === DeliveryState.QUEUED)).toBe(
          true,
        );
  });

  it('does not let cancel take what is being sent', () => {
    expect(mayBecome(DeliveryState.CANCELLED)).toEqual([
      DeliveryState.QUEUED,
      DeliveryState.WAITING,
      DeliveryState.AMBIGUOUS,
    ]);
  });

  it('reads the same backwards', () => {
    fc.assert(
      fc.property(fc.constantFrom(...states), fc.constantFrom(...states), (from, to) => {
        expect(mayBecome(to).includes(from)).toBe(deliveryMoves[from]?.includes(to));
      }),
    );
    expect(sqlMayBecome(DeliveryState.SENDING)).toBe('1');
  });
});

describe('the lattice of notifications', () => {
  it('never opens again what has ended, and goes only forward', () => {
    for (const [key, to] of Object.entries(notificationMoves))
      for (const next of to) {
        expect(next).toBeGreaterThan(Number(key));
        expect(notificationMayBecome(next)).toContain(Number(key));
      }
    expect(openNotificationStates).not.toContain(NotificationState.EXPANDED);
  });
});

describe('docs/states.md', () => {
  it('shows the same moves', async () => {
    const text = await readFile(new URL('../docs/states.md', import.meta.url), 'utf8');
    const [deliveries = '', notifications = ''] = text.split('## Notifications');
    const table = (part: string) =>
      Object.fromEntries(
        [...part.matchAll(/^\| ([A-Z]+) \|([A-Z ]*)\|$/gm)].map(([, from = '', to = '']) => [
          from,
          to.split(' ').filter(Boolean),
        ]),
      );
    const named = (
      moves: Readonly<Record<number, readonly number[]>>,
      values: readonly { number: number; localName: string }[],
    ) => {
      const names = new Map(values.map((value) => [value.number, value.localName]));
      return Object.fromEntries(
        Object.entries(moves)
          .filter(([from]) => from !== '0')
          .map(([from, to]) => [names.get(Number(from)), to.map((state) => names.get(state))]),
      );
    };
    expect(table(deliveries)).toEqual(named(deliveryMoves, DeliveryStateSchema.values));
    expect(table(notifications)).toEqual(named(notificationMoves, NotificationStateSchema.values));
  });
});
