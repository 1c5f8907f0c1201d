// carillon sandbox: what the sandbox providers took instead of the world outside.
import { Command } from 'commander';
import { type Cli, command, printJson, usage } from '../cli.ts';
import { adminClient, reaching, type TargetOptions } from '../clients.ts';
import { channelName, channelNumber, clockTime, isoTime } from '../names.ts';
import { oneLine, table } from '../terminal.ts';

interface ListOptions extends TargetOptions {
  user?: string;
  channel?: string;
  limit: string;
}

function listCommand(cli: Cli): Command {
  const made = command('list', 'what landed in the sandbox, newest first', [
    'sandbox list',
    'sandbox list --user ada --channel email',
  ])
    .option('--user <user>', 'only for this user')
    .option('--channel <channel>', 'only push, email or sms')
    .option('--limit <n>', 'at most this many', '100');
  return reaching(made, 'ingest').action(async (options: ListOptions) => {
    const limit = Number(options.limit);
    if (!Number.isInteger(limit) || limit < 1 || limit > 1_000)
      throw usage(`--limit takes a number from 1 to 1000, not ${options.limit}.`);
    const { messages } = await adminClient(cli, options).listSandboxMessages(
      { userId: options.user, channel: options.channel ? channelNumber(options.channel) : undefined, limit },
      { signal: cli.signal },
    );
    if (options.json) {
      for (const message of messages)
        printJson(cli, {
          attempt_id: message.attemptId,
          notification_id: message.notificationId,
          user: message.userId,
          channel: channelName(message.channel),
          address: message.address,
          title: message.title,
          body: message.body,
          at: isoTime(message.at),
          cleared_at: isoTime(message.clearedAt),
        });
      return;
    }
    if (messages.length === 0) return cli.terminal.out('Nothing landed in the sandbox.\n');
    const rows = messages.map((message) => [
      clockTime(cli, message.at),
      channelName(message.channel),
      oneLine(message.userId),
      oneLine(message.address),
      message.notificationId,
      clockTime(cli, message.clearedAt),
      oneLine(message.title || message.body),
    ]);
    cli.terminal.out(
      table(['at', 'channel', 'user', 'address', 'notification', 'taken back', 'title'], rows),
    );
  });
}

export function sandboxCommand(cli: Cli): Command {
  return new Command('sandbox').description('what the sandbox providers took').addCommand(listCommand(cli));
}
