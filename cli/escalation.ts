// Escalations as people write them: in_app,push:30s,email:1h:not_read.
import { create } from '@bufbuild/protobuf';
import { durationFromMs, durationMs as millisecondsOf } from '@bufbuild/protobuf/wkt';
import {
  type Escalation,
  EscalationCondition,
  EscalationSchema,
} from '../gen/carillon/v1/notification_pb.ts';
import { durationMs } from '../runtime/config.ts';
import { usage } from './cli.ts';
import { channelName, channelNumber, conditionNumber } from './names.ts';

/** Throws USAGE that names the option. */
export function milliseconds(written: string, option: string): number {
  const ms = durationMs(written);
  if (ms === undefined) throw usage(`${option} takes a duration such as 30s, 5m or 1h, not ${written}.`);
  return ms;
}

/** `in_app`, `push:30s`, `email:1h:not_read`: the channel, how long the step before may take, what stops this one. */
export function escalationStep(written: string): Escalation {
  const [channel = '', after, condition] = written.split(':');
  return create(EscalationSchema, {
    channel: channelNumber(channel),
    after: after ? durationFromMs(milliseconds(after, '--escalate')) : undefined,
    condition: condition ? conditionNumber(condition) : undefined,
  });
}

/** As `escalationStep` reads it. */
export function escalationText({ channel, after, condition }: Escalation): string {
  const parts = [channelName(channel)];
  const unread = condition === EscalationCondition.NOT_READ;
  if (after || unread) parts.push(after ? `${millisecondsOf(after) / 1_000}s` : '');
  if (unread) parts.push('not_read');
  return parts.join(':');
}
