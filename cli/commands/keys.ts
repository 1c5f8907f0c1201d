// carillon keys: API keys for backends, shown once, listed without their secret, revoked by id.
import { durationFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import { Command } from 'commander';
import type { ApiKey } from '../../gen/carillon/v1/admin_pb.ts';
import { durationMs } from '../../runtime/config.ts';
import { type Cli, commaList, command, printJson, usage } from '../cli.ts';
import { adminClient, reaching, type TargetOptions } from '../clients.ts';
import { isoTime } from '../names.ts';
import { oneLine, table } from '../terminal.ts';

interface CreateOptions extends TargetOptions {
  name: string;
  scopes: string[];
  ttl?: string;
}

const keyJson = ({ id, name, scopes, prefix, createdAt, expiresAt, revokedAt }: ApiKey) => ({
  id,
  name,
  scopes,
  prefix,
  created_at: isoTime(createdAt),
  expires_at: isoTime(expiresAt),
  revoked_at: isoTime(revokedAt),
});

function createCommand(cli: Cli): Command {
  const made = command('create', 'make a key for a backend', [
    'keys create --name shop --scopes notifications:send,notifications:read',
    'keys create --name ops --scopes admin:* --ttl 90d --json',
  ])
    .requiredOption('--name <name>', 'what it is for')
    .requiredOption('--scopes <scopes>', 'what it opens, such as notifications:send', commaList)
    .option('--ttl <duration>', 'how long it is good, such as 90d (default: until it is revoked)');
  return reaching(made, 'ingest').action(async ({ name, scopes, ttl, ...options }: CreateOptions) => {
    const ttlMs = ttl === undefined ? undefined : durationMs(ttl);
    if (ttl !== undefined && ttlMs === undefined)
      throw usage(`--ttl takes a duration such as 90d, not ${ttl}.`);
    const { apiKey, secret } = await adminClient(cli, options).createApiKey(
      { name, scopes, ...(ttlMs !== undefined && { ttl: durationFromMs(ttlMs) }) },
      { signal: cli.signal },
    );
    if (options.json) return printJson(cli, { key: secret, ...(apiKey && keyJson(apiKey)) });
    cli.terminal.out(`${secret}\n`);
    cli.terminal.err(`This is the only time that the key is shown; its id is ${apiKey?.id}.\n`);
  });
}

function stateOf(cli: Cli, { revokedAt, expiresAt }: ApiKey): string {
  if (revokedAt) return 'revoked';
  return expiresAt && timestampMs(expiresAt) <= cli.clock.now() ? 'expired' : 'good';
}

function listCommand(cli: Cli): Command {
  const made = command('list', 'the keys of this tenant', ['keys list', 'keys list --json']);
  return reaching(made, 'ingest').action(async (options: TargetOptions) => {
    const { apiKeys } = await adminClient(cli, options).listApiKeys({}, { signal: cli.signal });
    if (options.json) {
      for (const key of apiKeys) printJson(cli, keyJson(key));
      return;
    }
    if (apiKeys.length === 0) return cli.terminal.out('no keys\n');
    cli.terminal.out(
      table(
        ['id', 'begins with', 'state', 'name', 'scopes'],
        apiKeys.map((key) => [
          key.id,
          key.prefix,
          stateOf(cli, key),
          oneLine(key.name),
          key.scopes.join(','),
        ]),
      ),
    );
  });
}

function revokeCommand(cli: Cli): Command {
  const made = command('revoke', 'refuse a key from now on', ['keys revoke 0d6f3c1e-…']).argument(
    '<id>',
    'from keys list',
  );
  return reaching(made, 'ingest').action(async (id: string, options: TargetOptions) => {
    await adminClient(cli, options).revokeApiKey({ id }, { signal: cli.signal });
    if (options.json) return printJson(cli, { id, revoked: true });
    cli.terminal.out(`${id} is revoked\n`);
  });
}

export function keysCommand(cli: Cli): Command {
  return new Command('keys')
    .description('API keys of backends')
    .addCommand(createCommand(cli))
    .addCommand(listCommand(cli))
    .addCommand(revokeCommand(cli));
}
