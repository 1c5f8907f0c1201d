// carillon dlq: what used up its tries or could not be handled, and another go for it.
import { Command } from 'commander';
import type { DeadLetter } from '../../gen/carillon/v1/admin_pb.ts';
import { limits } from '../../runtime/limits.ts';
import { type Cli, command, printJson, usage } from '../cli.ts';
import { adminClient, reaching, type TargetOptions } from '../clients.ts';
import { channelName, clockTime, isoTime, laneName } from '../names.ts';
import { oneLine, table } from '../terminal.ts';

interface ReplayOptions extends TargetOptions {
  all?: boolean;
}

function letterJson(letter: DeadLetter) {
  return {
    id: letter.id,
    notification_id: letter.notificationId,
    user: letter.userId,
    channel: channelName(letter.channel),
    lane: laneName(letter.lane),
    source: letter.source,
    error: letter.error,
    created_at: isoTime(letter.createdAt),
    replayed_at: isoTime(letter.replayedAt),
  };
}

function listCommand(cli: Cli): Command {
  const made = command('list', 'the dead letters that were not replayed, oldest first', ['dlq list --json']);
  return reaching(made, 'ingest').action(async (options: TargetOptions) => {
    const client = adminClient(cli, options);
    const letters: DeadLetter[] = [];
    let pageToken = '';
    do {
      const page = await client.listDeadLetters({ pageSize: 1_000, pageToken }, { signal: cli.signal });
      if (options.json) for (const letter of page.deadLetters) printJson(cli, letterJson(letter));
      else letters.push(...page.deadLetters);
      pageToken = page.nextPageToken;
    } while (pageToken && letters.length < limits.cliDeliveriesCount);
    if (options.json) return;
    if (letters.length === 0) return cli.terminal.out('There are no dead letters.\n');
    const rows = letters.map((letter) => [
      letter.id,
      clockTime(cli, letter.createdAt),
      oneLine(letter.source),
      oneLine(letter.userId),
      channelName(letter.channel),
      letter.notificationId,
      oneLine(letter.error),
    ]);
    cli.terminal.out(table(['id', 'at', 'source', 'user', 'channel', 'notification', 'error'], rows));
  });
}

function replayCommand(cli: Cli): Command {
  const made = command('replay', 'try dead letters again', ['dlq replay --all', 'dlq replay 0199c5b6-…'])
    .argument('[ids...]', 'which; see dlq list')
    .option('--all', 'all that were not replayed');
  return reaching(made, 'ingest').action(async (ids: string[], options: ReplayOptions) => {
    if (ids.length > 0 === Boolean(options.all)) throw usage('Say which dead letters, or --all.');
    const client = adminClient(cli, options);
    let total = 0;
    for (;;) {
      const { replayed } = await client.replayDeadLetters({ ids }, { signal: cli.signal });
      total += replayed;
      // Without ids a call takes a thousand at most.
      if (!options.all || replayed === 0) break;
    }
    if (options.json) return printJson(cli, { replayed: total });
    cli.terminal.out(`${total} replayed\n`);
  });
}

export function dlqCommand(cli: Cli): Command {
  return new Command('dlq')
    .description('what used up its tries or could not be handled')
    .addCommand(listCommand(cli))
    .addCommand(replayCommand(cli));
}
