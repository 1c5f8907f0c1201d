// carillon inbox: what a user has, newest first, with the counts; and marks on it.
import type { Command } from 'commander';
import { type InboxItem, Mark } from '../../gen/carillon/v1/edge_pb.ts';
import { type Cli, commaList, command, printJson, usage } from '../cli.ts';
import { reaching, type TargetOptions, type UserClient, userClient } from '../clients.ts';
import { clockTime, isoTime, laneName } from '../names.ts';
import { oneLine, table } from '../terminal.ts';

interface InboxOptions extends TargetOptions {
  user: string;
  unread?: boolean;
  archived?: boolean;
  limit: string;
  markSeen?: string[];
  markRead?: string[];
  markArchived?: string[];
}

function itemJson({ seq, firstSeq, item }: InboxItem) {
  return {
    seq,
    first_seq: firstSeq,
    notification_id: item?.notificationId ?? '',
    title: item?.content?.title ?? '',
    body: item?.content?.body ?? '',
    data: item?.content?.data ?? {},
    category: item?.category ?? '',
    lane: laneName(item?.lane ?? 0),
    created_at: isoTime(item?.createdAt),
    seen: item?.seen ?? false,
    read: item?.read ?? false,
    archived: item?.archived ?? false,
  };
}

const stateOf = ({ item }: InboxItem): string =>
  item?.archived ? 'archived' : item?.read ? 'read' : item?.seen ? 'seen' : 'new';

async function mark(cli: Cli, edge: UserClient['edge'], options: InboxOptions): Promise<boolean> {
  const asked = [
    [Mark.SEEN, options.markSeen],
    [Mark.READ, options.markRead],
    [Mark.ARCHIVED, options.markArchived],
  ] as const;
  const wanted = asked.flatMap(([kind, ids]) => (ids === undefined ? [] : [{ kind, ids }]));
  for (const { kind, ids } of wanted) {
    const { marked, unseen, unread } = await edge.markInbox(
      { mark: kind, notificationIds: ids },
      { signal: cli.signal },
    );
    if (options.json) printJson(cli, { marked, unseen, unread });
    else cli.terminal.out(`${marked} marked; ${unseen} unseen, ${unread} unread\n`);
  }
  return wanted.length > 0;
}

export function inboxCommand(cli: Cli): Command {
  const made = command('inbox', "a user's inbox, newest first", [
    'inbox --user ada',
    'inbox --user ada --unread --limit 10 --json',
    'inbox --user ada --mark-read 0199c5b6-…',
  ])
    .requiredOption('--user <user>', 'whose inbox')
    .option('--unread', 'only what is unread')
    .option('--archived', 'what is archived, too')
    .option('--limit <n>', 'at most this many items', '50')
    .option('--mark-seen <ids>', 'mark these notifications as seen', commaList)
    .option('--mark-read <ids>', 'mark these as read', commaList)
    .option('--mark-archived <ids>', 'put these away', commaList);
  return reaching(made, 'edge', 'ingest').action(async (options: InboxOptions) => {
    const { edge } = userClient(cli, options.user, options);
    if (await mark(cli, edge, options)) return;
    const limit = Number(options.limit);
    if (!Number.isInteger(limit) || limit < 1 || limit > 200)
      throw usage(`--limit takes a number from 1 to 200, not ${options.limit}.`);
    const { items, unseen, unread, cursor } = await edge.listInbox(
      { pageSize: limit, unreadOnly: options.unread, includeArchived: options.archived },
      { signal: cli.signal },
    );
    if (options.json) return printJson(cli, { unseen, unread, cursor, items: items.map(itemJson) });
    cli.terminal.out(`${unseen} unseen, ${unread} unread\n`);
    if (items.length === 0) return;
    cli.terminal.out(
      table(
        ['seq', 'at', 'state', 'notification', 'title'],
        items.map((each) => [
          String(each.seq),
          clockTime(cli, each.item?.createdAt),
          stateOf(each),
          each.item?.notificationId ?? '',
          oneLine(each.item?.content?.title || each.item?.content?.body || ''),
        ]),
      ),
    );
  });
}
