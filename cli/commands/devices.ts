// carillon devices: registers a push device as its app would.
import { Command } from 'commander';
import { type Cli, command, printJson } from '../cli.ts';
import { reaching, type TargetOptions, userClient } from '../clients.ts';
import { platformNumber } from '../names.ts';

interface RegisterOptions extends TargetOptions {
  user: string;
  platform: string;
  token: string;
}

function registerCommand(cli: Cli): Command {
  const made = command('register', 'register a push device of a user', [
    'devices register phone-1 --user ada --platform sandbox --token sandbox:ok',
  ])
    .argument('<device>', 'the device id')
    .requiredOption('--user <user>', 'whose device')
    .requiredOption('--platform <name>', 'android, ios, web or sandbox')
    .requiredOption('--token <token>', 'what the push provider calls it');
  return reaching(made, 'edge', 'ingest').action(async (deviceId: string, options: RegisterOptions) => {
    const { user, token } = options;
    const platform = platformNumber(options.platform);
    // Here --token is what the push provider calls the device.
    const { edge } = userClient(cli, user, { ...options, token: undefined });
    await edge.registerDevice({ deviceId, platform, token }, { signal: cli.signal });
    if (options.json) return printJson(cli, { user, device_id: deviceId, platform: options.platform });
    cli.terminal.out(`${deviceId} is registered for ${user}\n`);
  });
}

export function devicesCommand(cli: Cli): Command {
  return new Command('devices').description('the devices that push reaches').addCommand(registerCommand(cli));
}
