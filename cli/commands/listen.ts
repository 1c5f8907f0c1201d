// carillon listen: holds a user's stream as a client would, prints every frame, acknowledges every item.
import type { Command } from 'commander';
import type { Deliver, SubscribeResponse } from '../../gen/carillon/v1/edge_pb.ts';
import { Acknowledger } from '../acknowledger.ts';
import { type Cli, command, printJson, usage } from '../cli.ts';
import { reaching, type TargetOptions, userClient } from '../clients.ts';
import { clockTime, isoTime, laneName, resume } from '../names.ts';
import { subscription } from '../subscription.ts';
import { oneLine } from '../terminal.ts';

interface ListenOptions extends TargetOptions {
  user: string;
  ack: boolean;
  cursor?: string;
  device?: string;
  count?: string;
}

function deliverJson({ seq, cursor, item, traceparent }: Deliver) {
  return {
    kind: 'deliver',
    seq,
    notification_id: item?.notificationId ?? '',
    title: item?.content?.title ?? '',
    body: item?.content?.body ?? '',
    data: item?.content?.data ?? {},
    category: item?.category ?? '',
    lane: laneName(item?.lane ?? 0),
    image_url: item?.content?.imageUrl ?? '',
    actions: (item?.content?.actions ?? []).map(({ label, url }) => ({ label, url })),
    created_at: isoTime(item?.createdAt),
    cursor,
    traceparent,
  };
}

/** One frame as one object; undefined for a frame that this version does not know. */
function frameJson({ frame }: SubscribeResponse): Record<string, unknown> | undefined {
  switch (frame.case) {
    case 'hello': {
      const { sessionId, resume: resumed, resumeReason, cursor, unseen, unread } = frame.value;
      return {
        kind: 'hello',
        session_id: sessionId,
        resume: resume(resumed),
        resume_reason: resumeReason,
        cursor,
        unseen,
        unread,
      };
    }
    case 'deliver':
      return deliverJson(frame.value);
    case 'update': {
      const { seq, cursor, firstSeq, notificationId, seen, read, archived, unseen, unread } = frame.value;
      return {
        kind: 'update',
        seq,
        first_seq: firstSeq,
        notification_id: notificationId,
        seen,
        read,
        archived,
        unseen,
        unread,
        cursor,
      };
    }
    case 'watermark': {
      const { sentThrough, cursor, unseen, unread } = frame.value;
      return { kind: 'watermark', sent_through: sentThrough, unseen, unread, cursor };
    }
    case 'goAway':
      return { kind: 'go_away', reason: frame.value.reason, edge: frame.value.edge };
    case 'reauthenticate':
      return { kind: 'reauthenticate', token_expiry: isoTime(frame.value.tokenExpiry) };
    default:
      return undefined;
  }
}

/** One frame as a line for people; undefined when it says nothing that they want to know. */
function frameText(cli: Cli, { frame }: SubscribeResponse): string | undefined {
  const { paint } = cli.terminal;
  switch (frame.case) {
    case 'hello':
      return paint('dim', `listening (${frame.value.unseen} unseen, ${frame.value.unread} unread)`);
    case 'deliver': {
      const { seq, item } = frame.value;
      const title = oneLine(item?.content?.title ?? '');
      const body = oneLine(item?.content?.body ?? '');
      return `${paint('dim', `${clockTime(cli, item?.createdAt)} #${seq}`)} ${paint('bold', title)}${title && body ? '  ' : ''}${body}`;
    }
    case 'update': {
      const { firstSeq, seen, read, archived, unread } = frame.value;
      const marks = Object.entries({ seen, read, archived }).filter(([, set]) => set);
      return paint('dim', `#${firstSeq} is now ${marks.map(([name]) => name).join(', ')} (${unread} unread)`);
    }
    case 'goAway':
      return paint('dim', `the edge asks to reconnect: ${oneLine(frame.value.reason)}`);
    default:
      return undefined;
  }
}

export function listenCommand(cli: Cli): Command {
  const made = command('listen', "hold a user's stream and print what arrives", [
    'listen --user ada',
    'listen --user ada --json --no-ack',
    'listen --user ada --count 1',
  ])
    .requiredOption('--user <user>', 'whose stream')
    .option('--no-ack', 'do not acknowledge what arrives')
    .option('--cursor <cursor>', 'go on after this frame (default: from now on)')
    .option('--device <id>', "name this stream's device")
    .option('--count <n>', 'end after this many items');
  return reaching(made, 'edge', 'ingest').action(async (options: ListenOptions) => {
    const count = options.count === undefined ? Number.POSITIVE_INFINITY : Number(options.count);
    if (!(count > 0)) throw usage(`--count takes a number from 1 on, not ${options.count}.`);
    const { edge, tokens } = userClient(cli, options.user, options, options.device);
    const acknowledger = new Acknowledger(edge, cli.clock);
    const frames = subscription({
      client: edge,
      tokens,
      cursor: options.cursor,
      deviceId: options.device,
      clock: cli.clock,
      signal: cli.signal,
      onLost: (error, waitMs) =>
        cli.terminal.err(
          `carillon: The stream was lost${error ? ` (${error.reason})` : ''}; trying again in ${waitMs} ms.\n`,
        ),
    });
    let items = 0;
    for await (const response of frames) {
      const printed = options.json ? frameJson(response) : frameText(cli, response);
      if (printed !== undefined)
        typeof printed === 'string' ? cli.terminal.out(`${printed}\n`) : printJson(cli, printed);
      if (response.frame.case === 'hello') acknowledger.sessionId = response.frame.value.sessionId;
      if (response.frame.case !== 'deliver') continue;
      if (options.ack) acknowledger.add(response.frame.value);
      if (++items >= count) break;
    }
    await acknowledger.idle();
  });
}
