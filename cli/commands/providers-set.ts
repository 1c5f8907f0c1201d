// carillon providers set: makes a provider, or changes what is named of one; secrets come from the environment or a file.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Provider } from '../../gen/carillon/v1/admin_pb.ts';
import { Channel } from '../../gen/carillon/v1/notification_pb.ts';
import { providerKinds } from '../../providers/kinds.ts';
import { type Cli, command, printJson, usage } from '../cli.ts';
import { adminClient, reaching, type TargetOptions } from '../clients.ts';
import { channelName, channelNumber, isoTime } from '../names.ts';
import { oneLine } from '../terminal.ts';

interface SetOptions extends TargetOptions {
  name?: string;
  channel?: string;
  fromEnv?: boolean;
  setting?: string[];
  position?: string;
  weight?: string;
  drain?: boolean;
  enable?: boolean;
}

const collect = (value: string, before: string[] = []): string[] => [...before, value];

/** `name=value`, or `name=@file` for what the file holds. Throws USAGE. */
function settingOf(cli: Cli, written: string): [string, string] {
  const at = written.indexOf('=');
  // What stands behind it may be a secret: it is not repeated.
  if (at < 1) throw usage('--setting takes name=value, or name=@file.');
  const name = written.slice(0, at);
  const value = written.slice(at + 1);
  if (!value.startsWith('@')) return [name, value];
  const path = resolve(cli.directory, value.slice(1));
  try {
    return [name, readFileSync(path, 'utf8').trim()];
  } catch {
    throw usage(`The file ${path} of the setting ${name} cannot be read.`);
  }
}

/** What the environment holds under the names of the kind. Throws USAGE when it holds nothing. */
function fromEnvironment(cli: Cli, kind: string): Record<string, string> {
  const names = providerKinds.find((each) => each.kind === kind)?.environment ?? {};
  const found = Object.entries(names).flatMap(([setting, variable]) => {
    const value = cli.environment[variable];
    return value ? [[setting, value] as const] : [];
  });
  if (found.length === 0)
    throw usage(
      Object.keys(names).length === 0
        ? `The kind ${kind} has no names in the environment: say --setting name=value.`
        : `None of these is set in the environment: ${Object.values(names).join(', ')}.`,
    );
  return Object.fromEntries(found);
}

function whole(written: string | undefined, option: string): number | undefined {
  if (written === undefined) return undefined;
  if (!/^\d{1,6}$/.test(written)) throw usage(`${option} takes a whole number, not ${written}.`);
  return Number(written);
}

function providerJson({ updatedAt, version, channel, $typeName, ...provider }: Provider) {
  return {
    ...provider,
    channel: channelName(channel),
    version: Number(version),
    updated_at: isoTime(updatedAt),
  };
}

function requestOf(cli: Cli, kind: string, options: SetOptions) {
  const { name = '', channel, fromEnv, drain, enable } = options;
  if (drain && enable) throw usage('Say --drain or --enable.');
  const position = whole(options.position, '--position');
  const weight = whole(options.weight, '--weight');
  return {
    kind,
    name,
    channel: channel === undefined ? Channel.UNSPECIFIED : channelNumber(channel),
    settings: {
      ...(fromEnv && fromEnvironment(cli, kind)),
      ...Object.fromEntries((options.setting ?? []).map((written) => settingOf(cli, written))),
    },
    ...(position !== undefined && { position }),
    ...(weight !== undefined && { weight }),
    ...((drain || enable) && { draining: drain === true }),
  };
}

export function providersSetCommand(cli: Cli): Command {
  const kinds = [...new Set([...providerKinds.map(({ kind }) => kind), 'sandbox'])].join(', ');
  const made = command('set', 'put a provider into the pool of its channel, or change one that is there', [
    'providers set twilio --from-env',
    'providers set smtp --setting url=smtp://me@mail.example.com:587?from=me@example.com --setting password=@/run/secrets/smtp',
    'providers set twilio --name twilio-eu --from-env --position 1 --setting ratePerSecond=50',
    'providers set twilio --drain',
    'providers set twilio --enable --weight 3',
  ])
    .argument('<kind>', `one of ${kinds}`)
    .option('--name <name>', 'which one, where there are several of a kind (default: as the kind)')
    .option('--channel <channel>', 'push, email or sms, for kinds that serve several')
    .option('--from-env', "take the settings from the environment, under the kind's own names")
    .option(
      '--setting <name=value>',
      'one setting, @file for what a file holds; empty: removed. May be given again',
      collect,
    )
    .option('--position <n>', 'lower ones are asked first, 0 to 1000 (default: 0)')
    .option('--weight <n>', 'its part of the traffic among those of its position, 1 to 1000 (default: 1)')
    .option('--drain', 'give it nothing new')
    .option('--enable', 'give it traffic again');
  return reaching(made, 'ingest').action(async (kind: string, options: SetOptions) => {
    const request = requestOf(cli, kind, options);
    const { provider } = await adminClient(cli, options).putProvider(request, { signal: cli.signal });
    if (!provider) return;
    if (options.json) return printJson(cli, providerJson(provider));
    const { name, channel, position, weight, draining } = provider;
    cli.terminal.out(
      `${oneLine(name)} (${oneLine(provider.kind)}) is in the pool of ${channelName(channel)}: position ${position}, weight ${weight}${draining ? ', draining' : ''}.\n`,
    );
  });
}
