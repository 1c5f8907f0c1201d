// The names of all topics: separate for every lane, so that a bulk blast never stands before an OTP.
import { Channel, Lane } from '../gen/carillon/v1/notification_pb.ts';

export const lanes = [Lane.CRITICAL, Lane.NORMAL, Lane.BULK] as const;

const laneNames: Record<Lane, string> = {
  [Lane.UNSPECIFIED]: 'normal',
  [Lane.CRITICAL]: 'critical',
  [Lane.NORMAL]: 'normal',
  [Lane.BULK]: 'bulk',
};

const channelNames: Record<Channel, string> = {
  [Channel.UNSPECIFIED]: 'unspecified',
  [Channel.IN_APP]: 'in_app',
  [Channel.PUSH]: 'push',
  [Channel.EMAIL]: 'email',
  [Channel.SMS]: 'sms',
};

const providerChannels = [Channel.PUSH, Channel.EMAIL, Channel.SMS] as const;

export const laneName = (lane: Lane): string => laneNames[lane] ?? 'normal';
export const channelName = (channel: Channel): string => channelNames[channel] ?? 'unspecified';

export const rawTopic = (lane: Lane): string => `carillon.raw.${laneName(lane)}`;
export const fanoutTopic = (lane: Lane): string => `carillon.fanout.${laneName(lane)}`;
export const channelTopic = (channel: Channel, lane: Lane): string =>
  `carillon.${channelName(channel)}.${laneName(lane)}`;

export const allTopics: readonly string[] = lanes.flatMap((lane) => [
  rawTopic(lane),
  fanoutTopic(lane),
  ...providerChannels.map((channel) => channelTopic(channel, lane)),
]);

/** The lane that a topic belongs to, by its last part. */
export function laneOfTopic(topic: string): Lane {
  const last = topic.slice(topic.lastIndexOf('.') + 1);
  return lanes.find((lane) => laneNames[lane] === last) ?? Lane.NORMAL;
}

/** The key of a user's records. The separator cannot be the zero character: PostgreSQL's text takes none. */
export const userKey = (tenant: string, userId: string): string => `${tenant}\u001f${userId}`;
