// carillon edges and carillon presence: which edges there are, and which of them hold a user's streams.
import type { Command } from 'commander';
import { type Cli, command, printJson } from '../cli.ts';
import { reaching, routerClient, type TargetOptions } from '../clients.ts';
import { table } from '../terminal.ts';

export function edgesCommand(cli: Cli): Command {
  const made = command('edges', 'the edges, as the router sees them', ['edges']);
  return reaching(made, 'router').action(async (options: TargetOptions) => {
    const { edges } = await routerClient(cli, options).listEdges({}, { signal: cli.signal });
    if (options.json) {
      for (const { node, incarnation, linkAddress, linked } of edges)
        printJson(cli, { node, incarnation, link_address: linkAddress, linked });
      return;
    }
    if (edges.length === 0) return cli.terminal.out('There are no edges.\n');
    const rows = edges.map((edge) => [edge.node, edge.linked ? 'yes' : 'no', edge.linkAddress || '-']);
    cli.terminal.out(table(['edge', 'linked', 'link address'], rows));
  });
}

export function presenceCommand(cli: Cli): Command {
  const made = command('presence', "which edges hold a user's streams", ['presence ada']).argument(
    '<user>',
    'the user id',
  );
  return reaching(made, 'router').action(async (userId: string, options: TargetOptions) => {
    const { edges } = await routerClient(cli, options).getPresence({ userId }, { signal: cli.signal });
    if (options.json) return printJson(cli, { user: userId, online: edges.length > 0, edges });
    cli.terminal.out(edges.length > 0 ? `online at ${edges.join(', ')}\n` : 'offline\n');
  });
}
