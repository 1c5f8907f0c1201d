// The names that people write and read for the numbers of the protocol: QUEUED, in_app, critical.
import type { DescEnum } from '@bufbuild/protobuf';
import { type Timestamp, timestampDate } from '@bufbuild/protobuf/wkt';
import {
  type BackgroundPolicy,
  BackgroundPolicySchema,
  BreakerStateSchema,
} from '../gen/carillon/v1/admin_pb.ts';
import { ActivitySchema, type Platform, PlatformSchema, ResumeSchema } from '../gen/carillon/v1/edge_pb.ts';
import { CancelOutcomeSchema } from '../gen/carillon/v1/ingest_pb.ts';
import {
  type Channel,
  ChannelSchema,
  DeliveryStateSchema,
  type EscalationCondition,
  EscalationConditionSchema,
  type Lane,
  LaneSchema,
  NotificationStateSchema,
} from '../gen/carillon/v1/notification_pb.ts';
import { type Cli, usage } from './cli.ts';

function short(desc: DescEnum, number: number): string {
  const value = desc.value[number];
  return value ? value.name.slice(desc.sharedPrefix?.length ?? 0).toUpperCase() : String(number);
}

const shortName = (desc: DescEnum) => (number: number) => short(desc, number);
const lowerName = (desc: DescEnum) => (number: number) => short(desc, number).toLowerCase();

export const deliveryState = shortName(DeliveryStateSchema);
export const notificationState = shortName(NotificationStateSchema);
export const cancelOutcome = shortName(CancelOutcomeSchema);
export const breakerState = shortName(BreakerStateSchema);
export const resume = shortName(ResumeSchema);
export const channelName = lowerName(ChannelSchema);
export const laneName = lowerName(LaneSchema);
export const activityName = lowerName(ActivitySchema);
export const platformName = lowerName(PlatformSchema);
export const backgroundName = lowerName(BackgroundPolicySchema);

/** Reads a name back; UNSPECIFIED is not one that can be asked for. Throws USAGE with all names. */
function numberOf<E extends number>(desc: DescEnum, what: string, written: string): E {
  const names = desc.values.filter((value) => value.number !== 0);
  const found = names.find((value) => short(desc, value.number).toLowerCase() === written.toLowerCase());
  if (found) return found.number as E;
  const all = names.map((value) => short(desc, value.number).toLowerCase()).join(', ');
  throw usage(`${what} ${written} is not known; it is one of ${all}.`);
}

export const channelNumber = (written: string) => numberOf<Channel>(ChannelSchema, 'The channel', written);
export const laneNumber = (written: string) => numberOf<Lane>(LaneSchema, 'The lane', written);
export const platformNumber = (written: string) =>
  numberOf<Platform>(PlatformSchema, 'The platform', written);
export const backgroundNumber = (written: string) =>
  numberOf<BackgroundPolicy>(BackgroundPolicySchema, 'The background policy', written);
export const conditionNumber = (written: string) =>
  numberOf<EscalationCondition>(EscalationConditionSchema, 'The condition', written);

/** RFC 3339 in UTC; null when absent. */
export function isoTime(timestamp: Timestamp | undefined): string | null {
  return timestamp ? timestampDate(timestamp).toISOString() : null;
}

/** For people: local time with milliseconds, and the date unless it is today's; `-` when absent. */
export function clockTime({ clock }: Cli, timestamp: Timestamp | undefined): string {
  return timestamp ? localTime(timestampDate(timestamp), new Date(clock.now())) : '-';
}

function localTime(date: Date, now: Date): string {
  const ms = String(date.getMilliseconds()).padStart(3, '0');
  const time = `${date.toLocaleTimeString('en-GB')}.${ms}`;
  // The Swedish way of writing a date is ISO's.
  return date.toDateString() === now.toDateString() ? time : `${date.toLocaleDateString('sv-SE')} ${time}`;
}

/** The text with its UTC times as `clockTime` writes them. */
export function localTimes({ clock }: Cli, text: string): string {
  return text.replaceAll(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, (written) =>
    localTime(new Date(written), new Date(clock.now())),
  );
}
