// carillon serve: some roles of the mesh in this process, others elsewhere, over PostgreSQL, Kafka and Redis.
import type { Command } from 'commander';
import { type Cli, commaList, command } from '../cli.ts';
import { parseRoles, roleNames } from '../roles.ts';
import type { RunOptions } from '../run-mesh.ts';

export function serveCommand(cli: Cli): Command {
  return command('serve', 'serve some roles of the mesh', [
    'serve ingest,router',
    'serve edge',
    'serve providers --json',
  ])
    .argument('<roles>', `which: ${roleNames.join(', ')}`, commaList)
    .option('--data <dir>', 'where the embedded PostgreSQL keeps its data')
    .action(async (roles: string[], options: RunOptions) => {
      const { runMesh } = await import('../run-mesh.ts');
      await runMesh(cli, parseRoles(roles), options);
    });
}
