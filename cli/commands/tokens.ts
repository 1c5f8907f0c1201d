// carillon tokens: makes tokens for clients, and takes them back.
import { durationFromMs, timestampDate } from '@bufbuild/protobuf/wkt';
import { Command } from 'commander';
import { durationMs } from '../../runtime/config.ts';
import { type Cli, command, printJson, usage } from '../cli.ts';
import { adminClient, reaching, type TargetOptions } from '../clients.ts';

interface TokenOptions extends TargetOptions {
  user: string;
  device?: string;
  ttl?: string;
}

function createCommand(cli: Cli): Command {
  const made = command('create', "make a token for a user's clients", [
    'tokens create --user ada',
    'tokens create --user ada --ttl 15m --device phone-1 --json',
  ])
    .requiredOption('--user <user>', 'whose token')
    .option('--ttl <duration>', 'how long it is good, such as 15m (default: 1h, at most 30d)')
    .option('--device <id>', 'bind it to this device');
  return reaching(made, 'ingest').action(async ({ ttl, ...options }: TokenOptions) => {
    const ttlMs = ttl === undefined ? undefined : durationMs(ttl);
    if (ttl !== undefined && ttlMs === undefined)
      throw usage(`--ttl takes a duration such as 15m, not ${ttl}.`);
    const { token, expiresAt } = await adminClient(cli, options).createToken(
      {
        userId: options.user,
        deviceId: options.device ?? '',
        ...(ttlMs !== undefined && { ttl: durationFromMs(ttlMs) }),
      },
      { signal: cli.signal },
    );
    // Alone on its line, so that a script may take it as it is.
    if (!options.json) return cli.terminal.out(`${token}\n`);
    printJson(cli, {
      token,
      user: options.user,
      device: options.device ?? '',
      expires_at: expiresAt && timestampDate(expiresAt).toISOString(),
    });
  });
}

function revokeCommand(cli: Cli): Command {
  const made = command('revoke', "end a user's streams and refuse tokens issued until now", [
    'tokens revoke --user ada',
    'tokens revoke --user ada --device phone-1',
  ])
    .requiredOption('--user <user>', 'whose tokens')
    .option('--device <id>', 'those of this device alone');
  return reaching(made, 'ingest').action(async (options: TokenOptions) => {
    const { user, device } = options;
    await adminClient(cli, options).revokeTokens(
      { userId: user, deviceId: device ?? '' },
      { signal: cli.signal },
    );
    if (options.json) return printJson(cli, { user, device: device ?? '', revoked: true });
    cli.terminal.out(`tokens of ${user}${device ? ` on ${device}` : ''} issued until now are refused\n`);
  });
}

export function tokensCommand(cli: Cli): Command {
  return new Command('tokens')
    .description('tokens of clients')
    .addCommand(createCommand(cli))
    .addCommand(revokeCommand(cli));
}
