// carillon providers: what each process says of the providers that it calls.
import { Command } from 'commander';
import { type Cli, command, printJson } from '../cli.ts';
import { adminClient, reaching, type TargetOptions } from '../clients.ts';
import { breakerState, channelName, clockTime, isoTime } from '../names.ts';
import { table } from '../terminal.ts';

function listCommand(cli: Cli): Command {
  const made = command('list', 'the providers, their breakers, and who says so', ['providers list']);
  return reaching(made, 'ingest').action(async (options: TargetOptions) => {
    const { providers } = await adminClient(cli, options).listProviders({}, { signal: cli.signal });
    if (options.json) {
      for (const { name, channel, breaker, node, reportedAt } of providers)
        printJson(cli, {
          name,
          channel: channelName(channel),
          breaker: breakerState(breaker),
          node,
          reported_at: isoTime(reportedAt),
        });
      return;
    }
    if (providers.length === 0) return cli.terminal.out('No process calls providers.\n');
    const rows = providers.map((provider) => [
      provider.name,
      channelName(provider.channel),
      breakerState(provider.breaker),
      clockTime(cli, provider.reportedAt),
      provider.node,
    ]);
    cli.terminal.out(table(['provider', 'channel', 'breaker', 'reported', 'process'], rows));
  });
}

export function providersCommand(cli: Cli): Command {
  return new Command('providers')
    .description('the providers of push, email and SMS')
    .addCommand(listCommand(cli));
}
