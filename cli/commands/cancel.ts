// carillon cancel: stops what has not gone out, and says how much had.
import type { Command } from 'commander';
import { type Cli, command, printJson } from '../cli.ts';
import { ingestClient, reaching, type TargetOptions } from '../clients.ts';
import { cancelOutcome } from '../names.ts';

export function cancelCommand(cli: Cli): Command {
  const made = command('cancel', 'stop a notification that has not gone out yet', [
    'cancel 0199c5b6-…',
  ]).argument('<id>', 'the notification, as send printed it');
  return reaching(made, 'ingest').action(async (notificationId: string, options: TargetOptions) => {
    const { outcome, cancelled, tooLate } = await ingestClient(cli, options).cancel(
      { notificationId },
      { signal: cli.signal },
    );
    if (options.json)
      return printJson(cli, { outcome: cancelOutcome(outcome), cancelled, too_late: tooLate });
    cli.terminal.out(
      `${cancelOutcome(outcome)}  ${cancelled} will not get it, ${tooLate} had it or may have it\n`,
    );
  });
}
