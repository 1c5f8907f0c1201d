// carillon config: whether the settings can be used, and which are in force.
import { Command } from 'commander';
import { showConfig } from '../../runtime/config-load.ts';
import { type Cli, command, loadConfig, type OutputOptions, printJson } from '../cli.ts';
import { table } from '../terminal.ts';

function checkCommand(cli: Cli): Command {
  return command('check', 'say whether the configuration can be used', ['config check']).action(
    (options: OutputOptions) => {
      loadConfig(cli);
      if (options.json) return printJson(cli, { ok: true });
      cli.terminal.out('The configuration can be used.\n');
    },
  );
}

function showCommand(cli: Cli): Command {
  return command('show', 'print the settings in force, with passwords masked', ['config show']).action(
    (options: OutputOptions) => {
      const shown = showConfig(loadConfig(cli));
      if (options.json) {
        for (const setting of shown) printJson(cli, setting);
        return;
      }
      const rows = shown.map(({ name, value, origin }) => [name, origin, String(value ?? '-')]);
      cli.terminal.out(table(['setting', 'from', 'value'], rows));
    },
  );
}

export function configCommand(cli: Cli): Command {
  return new Command('config')
    .description('the settings')
    .addCommand(checkCommand(cli))
    .addCommand(showCommand(cli));
}
