// carillon presence and carillon locate: on which devices a user is here now, and the edge that their clients had best connect to.
import type { Duration } from '@bufbuild/protobuf/wkt';
import { durationMs } from '@bufbuild/protobuf/wkt';
import type { Command } from 'commander';
import type { GetPresenceResponse } from '../../gen/carillon/v1/router_pb.ts';
import { type Cli, command, printJson } from '../cli.ts';
import { reaching, routerClient, type TargetOptions } from '../clients.ts';
import { activityName, clockTime, isoTime } from '../names.ts';
import { oneLine, table } from '../terminal.ts';

const PRESENCE_SHAPE = `
With --json one object:
  {"user","online","known","activity","edges":[…],"vanished_at",
   "devices":[{"device_id","activity","edge","session_id","open_for_ms","lease_age_ms","last_ack_age_ms"}]}
known: false when the hints are lost, and the edges were asked instead, or when one of them does not answer. activity:
foreground, background, or unspecified when nobody is there. vanished_at: when the last stream ended without the client closing
it, else null. lease_age_ms: since the edge renewed its lease; last_ack_age_ms: null before the first ack.`;

const LOCATE_SHAPE = `
With --json one object: {"user","node","url","view":{"number","hash"}}. url is "" when single edges cannot be reached: use the
address that all share. node is "" when there is no edge.`;

const ms = (duration: Duration | undefined): number | null =>
  duration ? Math.round(durationMs(duration)) : null;

function presenceJson(userId: string, answer: GetPresenceResponse) {
  return {
    user: userId,
    online: answer.edges.length > 0,
    known: answer.known,
    activity: activityName(answer.activity),
    edges: answer.edges,
    vanished_at: isoTime(answer.vanishedAt),
    devices: answer.devices.map((device) => ({
      device_id: device.deviceId,
      activity: activityName(device.activity),
      edge: device.edge,
      session_id: device.sessionId,
      open_for_ms: ms(device.openFor),
      lease_age_ms: ms(device.leaseAge),
      last_ack_age_ms: ms(device.lastAckAge),
    })),
  };
}

/** `3.2 s`, `5 min`, `2 h`; `-` when it is not known. */
function age(duration: Duration | undefined): string {
  if (!duration) return '-';
  const seconds = durationMs(duration) / 1_000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return seconds < 7_200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3_600)} h`;
}

function print(cli: Cli, answer: GetPresenceResponse): void {
  const { out } = cli.terminal;
  const { edges, devices, activity, known, vanishedAt } = answer;
  const since = vanishedAt ? ` since ${clockTime(cli, vanishedAt)}, without having closed` : '';
  const doubt = known ? '' : ' (as far as is known: the hints are lost, or an edge does not answer)';
  out(edges.length > 0 ? `online, ${activityName(activity)}${doubt}\n` : `offline${since}${doubt}\n`);
  if (devices.length === 0) {
    if (edges.length > 0) out(`at ${edges.map(oneLine).join(', ')}\n`);
    return;
  }
  out(
    table(
      ['device', 'activity', 'open for', 'last ack', 'lease', 'edge'],
      devices.map((device) => [
        oneLine(device.deviceId),
        activityName(device.activity),
        age(device.openFor),
        age(device.lastAckAge),
        age(device.leaseAge),
        oneLine(device.edge),
      ]),
    ),
  );
}

export function presenceCommand(cli: Cli): Command {
  const made = command('presence', 'on which devices a user is here, and what the edges know of them', [
    'presence ada',
    'presence ada --json',
  ]).argument('<user>', 'the user id');
  return reaching(made, 'router')
    .addHelpText('after', PRESENCE_SHAPE)
    .action(async (userId: string, options: TargetOptions) => {
      const answer = await routerClient(cli, options).getPresence({ userId }, { signal: cli.signal });
      if (options.json) printJson(cli, presenceJson(userId, answer));
      else print(cli, answer);
    });
}

export function locateCommand(cli: Cli): Command {
  const made = command('locate', "the edge that a user's clients had best connect to", [
    'locate ada',
    'locate ada --json',
  ]).argument('<user>', 'the user id');
  return reaching(made, 'router')
    .addHelpText('after', LOCATE_SHAPE)
    .action(async (userId: string, options: TargetOptions) => {
      const answer = await routerClient(cli, options).locate({ userId }, { signal: cli.signal });
      const { node, url, view } = answer;
      const shown = { number: Number(view?.number ?? 0n), hash: view?.hash ?? '' };
      if (options.json) printJson(cli, { user: userId, node, url, view: shown });
      else if (node === '') cli.terminal.out('There are no edges.\n');
      else cli.terminal.out(`${oneLine(node)}  ${oneLine(url) || '(by the address that all edges share)'}\n`);
    });
}
