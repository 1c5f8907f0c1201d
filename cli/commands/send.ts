// carillon send: one notification, answered after it is on disk.
import { create } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromDate } from '@bufbuild/protobuf/wkt';
import type { Command } from 'commander';
import { type Notification, NotificationSchema } from '../../gen/carillon/v1/notification_pb.ts';
import { type Cli, commaList, command, printJson, usage } from '../cli.ts';
import { ingestClient, reaching, type TargetOptions } from '../clients.ts';
import { escalationStep, milliseconds } from '../escalation.ts';
import { channelNumber, laneNumber } from '../names.ts';

interface SendOptions extends TargetOptions {
  to: string[];
  title?: string;
  body?: string;
  data?: [string, string][];
  image?: string;
  action?: [string, string][];
  category?: string;
  lane?: string;
  channels?: string[];
  escalate?: string[];
  key?: string;
  at?: string;
  ttl?: string;
}

function sendTime(written: string) {
  const ms = Date.parse(written);
  if (Number.isNaN(ms) || !/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/i.test(written))
    throw usage(`--at takes a time with its zone, such as 2027-01-31T18:00:00Z, not ${written}.`);
  return timestampFromDate(new Date(ms));
}

/** The notification that the options describe. Throws USAGE. */
function notificationOf(options: SendOptions): Notification {
  return create(NotificationSchema, {
    audience: { kind: { case: 'users', value: { ids: options.to } } },
    content: {
      title: options.title,
      body: options.body,
      data: Object.fromEntries(options.data ?? []),
      imageUrl: options.image,
      actions: options.action?.map(([label, url]) => ({ label, url })),
    },
    category: options.category,
    lane: options.lane ? laneNumber(options.lane) : undefined,
    channels: options.channels?.map(channelNumber),
    escalation: options.escalate?.map(escalationStep),
    sendAt: options.at ? sendTime(options.at) : undefined,
    ttl: options.ttl ? durationFromMs(milliseconds(options.ttl, '--ttl')) : undefined,
  });
}

function pair(value: string, before: [string, string][] = []): [string, string][] {
  const at = value.indexOf('=');
  if (at < 1) throw usage(`${value} must be name=value.`);
  return [...before, [value.slice(0, at), value.slice(at + 1)]];
}

export function sendCommand(cli: Cli): Command {
  const made = command('send', 'send one notification', [
    'send --to ada --title "Your order is on its way"',
    'send --to ada,bob --title Hello --channels in_app,email --key order-17',
    'send --to ada --title "Please confirm" --escalate in_app,push:30s,email:1h:not_read',
  ])
    .requiredOption('--to <users>', 'who gets it: user ids, comma-separated', commaList)
    .option('--title <text>', 'the title')
    .option('--body <text>', 'the text below it')
    .option('--data <name=value>', 'handed to the client as it is; may stand several times', pair)
    .option('--image <url>', 'a picture')
    .option('--action <label=url>', 'a button; may stand several times', pair)
    .option('--category <name>', 'what it is about, such as order_shipped')
    .option('--lane <lane>', 'critical, normal or bulk')
    .option('--channels <list>', 'all of these at once: in_app, push, email, sms', commaList)
    .option(
      '--escalate <steps>',
      'one after the other: channel[:after[:not_delivered|not_read]], …',
      commaList,
    )
    .option('--key <key>', 'idempotency key: the same key sends once')
    .option('--at <time>', 'not before this time (RFC 3339)')
    .option('--ttl <duration>', 'given up after this long, such as 1h');
  return reaching(made, 'ingest').action(async (options: SendOptions) => {
    if (!options.title && !options.body) throw usage('Say what to send: --title, --body or both.');
    const { notificationId, duplicate } = await ingestClient(cli, options).send(
      { notification: notificationOf(options), idempotencyKey: options.key },
      { signal: cli.signal },
    );
    if (options.json) return printJson(cli, { notification_id: notificationId, duplicate });
    cli.terminal.out(`${notificationId}${duplicate ? ' (sent before with this key)' : ''}\n`);
  });
}
