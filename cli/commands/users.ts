// carillon users: where a user can be reached. What is not named stays as it is; an empty value clears.
import { create } from '@bufbuild/protobuf';
import { Command } from 'commander';
import { type User, UserSchema } from '../../gen/carillon/v1/admin_pb.ts';
import { carillonError } from '../../runtime/wire-errors.ts';
import { type Cli, command, printJson } from '../cli.ts';
import { adminClient, reaching, type TargetOptions } from '../clients.ts';
import { clockTime, isoTime, platformName } from '../names.ts';
import { oneLine, table } from '../terminal.ts';

interface SetOptions extends TargetOptions {
  email?: string;
  phone?: string;
  locale?: string;
  timezone?: string;
}

const ADDRESSES = ['email', 'phone', 'locale', 'timezone'] as const;

function userJson(user: User) {
  return {
    id: user.id,
    email: user.email,
    phone: user.phone,
    locale: user.locale,
    timezone: user.timezone,
    devices: user.devices.map(({ deviceId, platform, token, lastSeenAt }) => ({
      device_id: deviceId,
      platform: platformName(platform),
      token,
      last_seen_at: isoTime(lastSeenAt),
    })),
  };
}

function print(cli: Cli, user: User, json: boolean | undefined): void {
  if (json) {
    printJson(cli, userJson(user));
    return;
  }
  const rows = ADDRESSES.map((name) => [name, oneLine(user[name]) || '-']);
  cli.terminal.out(table(['user', oneLine(user.id)], rows));
  if (user.devices.length === 0) return;
  const devices = user.devices.map((device) => [
    oneLine(device.deviceId),
    platformName(device.platform),
    clockTime(cli, device.lastSeenAt),
    oneLine(device.token),
  ]);
  cli.terminal.out(`\n${table(['device', 'platform', 'seen', 'token'], devices)}`);
}

async function find(cli: Cli, userId: string, options: TargetOptions): Promise<User | undefined> {
  try {
    return (await adminClient(cli, options).getUser({ userId }, { signal: cli.signal })).user;
  } catch (error) {
    if (carillonError(error).reason === 'USER_NOT_FOUND') return undefined;
    throw error;
  }
}

function setCommand(cli: Cli): Command {
  const made = command('set', 'set where a user can be reached', [
    'users set ada --email ada@example.com --phone +41441234567',
    'users set ada --locale de-CH --timezone Europe/Zurich',
    'users set ada --phone ""',
  ])
    .argument('<user>', 'the user id')
    .option('--email <address>', 'the mail address')
    .option('--phone <number>', 'the phone number, E.164')
    .option('--locale <tag>', 'the language, BCP 47, such as de-CH')
    .option('--timezone <name>', 'the time zone, IANA, such as Europe/Zurich');
  return reaching(made, 'ingest').action(async (userId: string, options: SetOptions) => {
    const user = (await find(cli, userId, options)) ?? create(UserSchema, { id: userId });
    for (const name of ADDRESSES) user[name] = options[name] ?? user[name];
    await adminClient(cli, options).putUser({ user }, { signal: cli.signal });
    print(cli, user, options.json);
  });
}

function getCommand(cli: Cli): Command {
  const made = command('get', 'show where a user can be reached', ['users get ada']).argument(
    '<user>',
    'the user id',
  );
  return reaching(made, 'ingest').action(async (userId: string, options: TargetOptions) => {
    const { user } = await adminClient(cli, options).getUser({ userId }, { signal: cli.signal });
    if (user) print(cli, user, options.json);
  });
}

export function usersCommand(cli: Cli): Command {
  return new Command('users')
    .description('where users can be reached')
    .addCommand(setCommand(cli))
    .addCommand(getCommand(cli));
}
