// carillon providers: the pools of push, email and SMS: what is in them, how it is, and whether it works.
import { durationMs } from '@bufbuild/protobuf/wkt';
import { Command } from 'commander';
import type { ProviderStatus } from '../../gen/carillon/v1/admin_pb.ts';
import { Channel } from '../../gen/carillon/v1/notification_pb.ts';
import { CarillonError } from '../../runtime/errors.ts';
import { type Cli, command, printJson } from '../cli.ts';
import { adminClient, reaching, type TargetOptions } from '../clients.ts';
import { breakerState, channelName, channelNumber, clockTime, isoTime } from '../names.ts';
import { oneLine, table } from '../terminal.ts';
import { providersSetCommand } from './providers-set.ts';

const CHANNEL_OPTION = [
  '--channel <channel>',
  'push, email or sms (needed where several have the name)',
] as const;

interface NamedOptions extends TargetOptions {
  channel?: string;
}

const channelOf = ({ channel }: NamedOptions): Channel =>
  channel === undefined ? Channel.UNSPECIFIED : channelNumber(channel);

/** What people read where a breaker would be that nobody has. */
const stateOf = ({ breaker, node, config, problem }: ProviderStatus): string => {
  if (problem !== '') return 'UNUSABLE';
  const calls = node === '' ? 'not used yet' : breakerState(breaker);
  return config?.draining ? `draining, ${calls}` : calls;
};

const settingsText = ({ config }: ProviderStatus): string =>
  Object.entries(config?.settings ?? {})
    .map(([name, value]) => `${name}=${oneLine(value)}`)
    .join(' ');

function statusJson(status: ProviderStatus) {
  const { name, channel, breaker, node, reportedAt, config, ratePerSecond, problem } = status;
  return {
    name,
    channel: channelName(channel),
    breaker: node === '' ? null : breakerState(breaker),
    node: node === '' ? null : node,
    reported_at: isoTime(reportedAt),
    rate_per_second: ratePerSecond === 0 ? null : ratePerSecond,
    problem: problem === '' ? null : problem,
    kind: config?.kind ?? null,
    position: config?.position ?? null,
    weight: config?.weight ?? null,
    draining: config?.draining ?? null,
    settings: config?.settings ?? null,
  };
}

function listCommand(cli: Cli): Command {
  const made = command('list', 'the providers in their order, how they are, and who says so', [
    'providers list',
    'providers list --json',
  ]);
  return reaching(made, 'ingest').action(async (options: TargetOptions) => {
    const { providers } = await adminClient(cli, options).listProviders({}, { signal: cli.signal });
    if (options.json) {
      for (const status of providers) printJson(cli, statusJson(status));
      return;
    }
    if (providers.length === 0) return cli.terminal.out('No process calls providers.\n');
    const rows = providers.map((status) => [
      channelName(status.channel),
      status.name,
      status.config?.kind ?? '-',
      status.config ? String(status.config.position) : '-',
      status.config ? String(status.config.weight) : '-',
      stateOf(status),
      status.ratePerSecond === 0 ? '-' : `${Math.round(status.ratePerSecond * 10) / 10}/s`,
      clockTime(cli, status.reportedAt),
      status.node || '-',
      status.problem === '' ? settingsText(status) : oneLine(status.problem),
    ]);
    const head = [
      'channel',
      'provider',
      'kind',
      'position',
      'weight',
      'state',
      'rate',
      'reported',
      'process',
      '',
    ];
    cli.terminal.out(table(head, rows));
  });
}

interface TestOptions extends NamedOptions {
  to: string;
  title?: string;
  body?: string;
}

function testCommand(cli: Cli): Command {
  const made = command('test', 'send one message with what is stored, and say what came of it', [
    'providers test twilio --to +41441234567',
    'providers test ses --to ada@example.com --title Hello --body "It works"',
  ])
    .argument('<name>', 'of the provider; see providers list')
    .requiredOption('--to <address>', "a mail address, a phone number, or a device's token")
    .option('--title <text>', 'the title')
    .option('--body <text>', 'the text')
    .option(...CHANNEL_OPTION);
  return reaching(made, 'ingest').action(async (name: string, options: TestOptions) => {
    const { to: address, title, body } = options;
    const content =
      title === undefined && body === undefined ? undefined : { title: title ?? '', body: body ?? '' };
    const { outcome, reason, messageId, took } = await adminClient(cli, options).testProvider(
      { name, address, channel: channelOf(options), ...(content && { content }) },
      { signal: cli.signal },
    );
    const tookMs = took ? durationMs(took) : 0;
    if (options.json)
      printJson(cli, {
        name,
        outcome,
        reason: reason || null,
        message_id: messageId || null,
        took_ms: tookMs,
      });
    if (outcome !== 'sent')
      throw new CarillonError('PROVIDER_REFUSED', `${name} did not take the message (${outcome}): ${reason}`);
    if (!options.json) cli.terminal.out(`sent in ${tookMs} ms as ${oneLine(messageId)}\n`);
  });
}

function deleteCommand(cli: Cli): Command {
  const made = command('delete', 'take a provider out of its pool; calls in flight are finished', [
    'providers delete twilio-eu',
    'providers delete webhook --channel sms',
  ])
    .argument('<name>', 'of the provider; see providers list')
    .option(...CHANNEL_OPTION);
  return reaching(made, 'ingest').action(async (name: string, options: NamedOptions) => {
    await adminClient(cli, options).deleteProvider(
      { name, channel: channelOf(options) },
      { signal: cli.signal },
    );
    if (options.json) return printJson(cli, { name, deleted: true });
    cli.terminal.out(`${oneLine(name)} is deleted.\n`);
  });
}

function rotateKeyCommand(cli: Cli): Command {
  const made = command('rotate-key', 'seal all data keys under the present master key', [
    'providers rotate-key',
  ]);
  return reaching(made, 'ingest').action(async (options: TargetOptions) => {
    const { rotated } = await adminClient(cli, options).rotateProviderKeys({}, { signal: cli.signal });
    if (options.json) return printJson(cli, { rotated });
    cli.terminal.out(`${rotated} data keys were under an old master key; none is now.\n`);
  });
}

export function providersCommand(cli: Cli): Command {
  return new Command('providers')
    .description('the providers of push, email and SMS')
    .addCommand(listCommand(cli))
    .addCommand(providersSetCommand(cli))
    .addCommand(testCommand(cli))
    .addCommand(deleteCommand(cli))
    .addCommand(rotateKeyCommand(cli));
}
