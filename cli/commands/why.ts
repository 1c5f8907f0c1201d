// carillon why: what was decided for one recipient, in order, with what was known at the time.
import type { Command } from 'commander';
import { type Cli, command, printJson } from '../cli.ts';
import { ingestClient, reaching, type TargetOptions } from '../clients.ts';
import { clockTime, isoTime, localTimes } from '../names.ts';
import { oneLine, table } from '../terminal.ts';
import { deliveryJson, deliveryTable } from './status.ts';

interface WhyOptions extends TargetOptions {
  user: string;
}

/** ` [lane=normal asked="in_app push"]`; empty when nothing is known. */
function inputsText(inputs: Record<string, string>): string {
  const known = Object.entries(inputs).filter(([, value]) => value !== '');
  const said = known.map(([name, value]) => `${name}=${/\s/.test(value) ? JSON.stringify(value) : value}`);
  return said.length > 0 ? ` [${said.join(' ')}]` : '';
}

export function whyCommand(cli: Cli): Command {
  const made = command('why', 'why a recipient got a notification, did not, or is still waiting', [
    'why 0199c5b6-… --user ada',
  ])
    .argument('<id>', 'the notification, as send printed it')
    .requiredOption('--user <user>', 'the recipient');
  return reaching(made, 'ingest').action(async (notificationId: string, options: WhyOptions) => {
    const { deliveries, decisions } = await ingestClient(cli, options).explain(
      { notificationId, userId: options.user },
      { signal: cli.signal },
    );
    if (options.json)
      return printJson(cli, {
        deliveries: deliveries.map(deliveryJson),
        decisions: decisions.map(({ at, rule, text, inputs }) => ({ at: isoTime(at), rule, text, inputs })),
      });
    cli.terminal.out(
      table(
        ['at', 'rule', 'what'],
        decisions.map(({ at, rule, text, inputs }) => [
          clockTime(cli, at),
          rule,
          oneLine(localTimes(cli, text)) + cli.terminal.paint('dim', oneLine(inputsText(inputs))),
        ]),
      ),
    );
    cli.terminal.out(`\n${deliveryTable(cli, deliveries)}`);
  });
}
