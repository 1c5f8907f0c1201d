// carillon status: where one notification stands, for every recipient, now or as it changes.
import type { Client } from '@connectrpc/connect';
import type { Command } from 'commander';
import type { Delivery, IngestService, NotificationStatus } from '../../gen/carillon/v1/ingest_pb.ts';
import { limits } from '../../runtime/limits.ts';
import { type Cli, command, printJson } from '../cli.ts';
import { ingestClient, reaching, type TargetOptions } from '../clients.ts';
import { channelName, clockTime, deliveryState, isoTime, laneName, notificationState } from '../names.ts';
import { oneLine, table } from '../terminal.ts';

interface StatusOptions extends TargetOptions {
  watch?: boolean;
}

export function deliveryJson(delivery: Delivery) {
  return {
    user: delivery.userId,
    channel: channelName(delivery.channel),
    state: deliveryState(delivery.state),
    reason: delivery.reason,
    attempts: delivery.attempts,
    updated_at: isoTime(delivery.updatedAt),
    due_at: isoTime(delivery.dueAt),
  };
}

function statusJson(status: NotificationStatus) {
  return {
    notification_id: status.notificationId,
    state: notificationState(status.state),
    category: status.category,
    lane: laneName(status.lane),
    accepted_at: isoTime(status.acceptedAt),
    recipients: status.recipients,
    counts: Object.fromEntries(status.counts.map(({ state, count }) => [deliveryState(state), count])),
    deliveries: status.deliveries.map(deliveryJson),
  };
}

export function deliveryTable(cli: Cli, deliveries: readonly Delivery[]): string {
  return table(
    ['user', 'channel', 'state', 'attempts', 'updated', 'next', 'reason'],
    deliveries.map((delivery) => [
      oneLine(delivery.userId),
      channelName(delivery.channel),
      deliveryState(delivery.state),
      String(delivery.attempts),
      clockTime(cli, delivery.updatedAt),
      clockTime(cli, delivery.dueAt),
      oneLine(delivery.reason),
    ]),
  );
}

function print(cli: Cli, status: NotificationStatus, json: boolean | undefined): void {
  if (json) {
    printJson(cli, statusJson(status));
    return;
  }
  const counts = status.counts.map(({ state, count }) => `${count} ${deliveryState(state)}`).join(', ');
  const recipients = `${status.recipients} recipient${status.recipients === 1 ? '' : 's'}`;
  cli.terminal.out(
    `${cli.terminal.paint('bold', notificationState(status.state))}  ${recipients}${counts && `: ${counts}`}\n`,
  );
  if (status.deliveries.length > 0) cli.terminal.out(deliveryTable(cli, status.deliveries));
}

/** All pages in one, at most `limits.cliDeliveriesCount` deliveries. */
async function readAll(
  client: Client<typeof IngestService>,
  notificationId: string,
  signal: AbortSignal,
): Promise<NotificationStatus | undefined> {
  const first = await client.getNotification({ notificationId, pageSize: 1_000 }, { signal });
  let pageToken = first.nextPageToken;
  while (first.status && pageToken && first.status.deliveries.length < limits.cliDeliveriesCount) {
    const page = await client.getNotification({ notificationId, pageSize: 1_000, pageToken }, { signal });
    first.status.deliveries.push(...(page.status?.deliveries ?? []));
    pageToken = page.nextPageToken;
  }
  return first.status;
}

export function statusCommand(cli: Cli): Command {
  const made = command('status', 'where a notification stands', [
    'status 0199c5b6-…',
    'status 0199c5b6-… --watch',
  ])
    .argument('<id>', 'the notification, as send printed it')
    .option('--watch', 'print it again at every change, until nothing can change any more');
  return reaching(made, 'ingest').action(async (notificationId: string, options: StatusOptions) => {
    const client = ingestClient(cli, options);
    if (!options.watch) {
      const status = await readAll(client, notificationId, cli.signal);
      if (status) print(cli, status, options.json);
      return;
    }
    if (cli.terminal.watched && !options.json)
      cli.terminal.err('Watching until nothing can change any more; Ctrl-C ends it before.\n');
    for await (const { status } of client.watchNotification({ notificationId }, { signal: cli.signal }))
      if (status) print(cli, status, options.json);
  });
}
