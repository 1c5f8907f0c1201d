// carillon edges: the view of the mesh that the router has, with its edges, what belongs to them, and the routers.
import type { Command } from 'commander';
import type { Edge, ListEdgesResponse } from '../../gen/carillon/v1/router_pb.ts';
import { type Cli, command, printJson } from '../cli.ts';
import { reaching, routerClient, type TargetOptions } from '../clients.ts';
import { oneLine, table } from '../terminal.ts';

const SHAPES = `
With --json a line for each edge and router:
  {"role":"edge","node","incarnation","link_address","linked","url","weight","zone","share","view_hash","view":{"number","hash"}}
  {"role":"router","node","incarnation","address","zone","view":{"number","hash"}}
share: the part of all users that belongs to the edge, 0 to 1. view_hash: of the view that the edge has said it has, "" when
it has not; as long as it is not that of view, its former users are also looked for where they were.`;

const percent = (share: number) => `${(share * 100).toFixed(1)} %`;

function seen({ linked, viewHash }: Edge, hash: string | undefined): string {
  if (!linked) return 'not linked';
  return viewHash === hash ? 'linked' : 'linked, another view';
}

function printJsonLines(cli: Cli, { view, edges, routers }: ListEdgesResponse): void {
  const shown = { number: Number(view?.number ?? 0n), hash: view?.hash ?? '' };
  for (const { node, incarnation, linkAddress, linked, url, weight, zone, share, viewHash } of edges)
    printJson(cli, {
      role: 'edge',
      node,
      incarnation,
      link_address: linkAddress,
      linked,
      url,
      weight,
      zone,
      share,
      view_hash: viewHash,
      view: shown,
    });
  for (const { node, incarnation, address, zone } of routers)
    printJson(cli, { role: 'router', node, incarnation, address, zone, view: shown });
}

export function edgesCommand(cli: Cli): Command {
  const made = command('edges', 'the edges and routers, as the router sees them', ['edges', 'edges --json']);
  return reaching(made, 'router')
    .addHelpText('after', SHAPES)
    .action(async (options: TargetOptions) => {
      const answer = await routerClient(cli, options).listEdges({}, { signal: cli.signal });
      if (options.json) return printJsonLines(cli, answer);
      const { out } = cli.terminal;
      const { view, edges, routers } = answer;
      out(`view ${view?.number ?? 0} (${view?.hash ?? ''})\n`);
      if (edges.length === 0) out('There are no edges.\n');
      else
        out(
          table(
            ['edge', 'state', 'share', 'weight', 'zone', 'for clients', 'for routers'],
            edges.map((edge) => [
              oneLine(edge.node),
              seen(edge, view?.hash),
              percent(edge.share),
              String(edge.weight),
              oneLine(edge.zone) || '-',
              oneLine(edge.url) || '-',
              oneLine(edge.linkAddress) || '-',
            ]),
          ),
        );
      if (routers.length === 0) return;
      const rows = routers.map(({ node, zone, address }) => [node, zone || '-', address || '-'].map(oneLine));
      out(`\n${table(['router', 'zone', 'address'], rows)}`);
    });
}
