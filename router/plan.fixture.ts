// Notifications, users and whereabouts for tests of plans, and what a category may say.
import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { Whereabouts } from '../cluster/presence.ts';
import { BackgroundPolicy, type Category, CategorySchema } from '../gen/carillon/v1/admin_pb.ts';
import {
  type Channel,
  EscalationCondition,
  EscalationSchema,
  Lane,
  NotificationSchema,
} from '../gen/carillon/v1/notification_pb.ts';
import type { Planned } from './plan.ts';
import { policyOf } from './policy.ts';

export const NOW = 1_800_000_000_000;
export type Ask = {
  channels?: Channel[];
  escalation?: { channel: Channel; afterS?: number; condition?: EscalationCondition }[];
};

type Escalated = NonNullable<Ask['escalation']>;
export type Rules = { background?: BackgroundPolicy; lingerMs?: number; escalation?: Escalated };

const escalation = (steps: Escalated = []) =>
  steps.map(({ channel, afterS, condition }) =>
    create(EscalationSchema, {
      channel,
      condition: condition ?? EscalationCondition.UNSPECIFIED,
      ...(afterS !== undefined && { after: durationFromMs(afterS * 1_000) }),
    }),
  );

const category = (rules: Rules): Category =>
  create(CategorySchema, {
    id: 'default',
    background: rules.background ?? BackgroundPolicy.UNSPECIFIED,
    escalation: escalation(rules.escalation),
    ...(rules.lingerMs !== undefined && { linger: durationFromMs(rules.lingerMs) }),
  });

interface Given {
  ask?: Ask;
  expiresAtMs?: number;
  lane?: Lane;
  rules?: Rules | undefined;
}

export const given = ({
  ask = {},
  expiresAtMs = NOW + 3_600_000,
  lane = Lane.NORMAL,
  rules,
}: Given): Planned => ({
  id: '0192a000-0000-7000-8000-000000000001',
  lane,
  expiresAtMs,
  policy: policyOf({
    lane,
    rules: rules && category(rules),
    notification: create(NotificationSchema, {
      channels: ask.channels ?? [],
      escalation: escalation(ask.escalation),
    }),
  }),
});
export const planned = (ask: Ask = {}, expiresAtMs?: number): Planned =>
  given({ ask, ...(expiresAtMs !== undefined && { expiresAtMs }) });

export const recipient = (has: { devices?: number; email?: boolean; phone?: boolean } = {}) => ({
  tenant: 'default',
  userId: 'ada',
  devices: has.devices ?? 0,
  email: has.email ?? false,
  phone: has.phone ?? false,
});
export const everywhere = recipient({ devices: 1, email: true, phone: true });
export const away: Whereabouts = { edges: [], foreground: false, vanishedAtMs: undefined, known: true };
export const online: Whereabouts = { ...away, edges: ['edge-1'], foreground: true };
export const background: Whereabouts = { ...online, foreground: false };
export const lost: Whereabouts = { ...away, known: false };
export const vanished = (agoMs: number): Whereabouts => ({ ...away, vanishedAtMs: NOW - agoMs });
