// carillon up: the whole mesh in one process, with nothing to set up; with --demo it shows what it does.
import type { Command } from 'commander';
import { type Cli, command } from '../cli.ts';
import { allRoles } from '../roles.ts';
import type { RunOptions } from '../run-mesh.ts';

interface UpOptions extends RunOptions {
  demo?: boolean;
}

export function upCommand(cli: Cli): Command {
  return command('up', 'start the whole mesh in one process', [
    'up',
    'up --demo',
    'up --data /var/lib/carillon --json',
  ])
    .option('--demo', 'connect a demo user, send notifications and show what happens')
    .option('--data <dir>', 'where the embedded PostgreSQL keeps its data')
    .action(async (options: UpOptions) => {
      // Loaded here: a command that talks to a mesh needs none of it.
      const { runMesh } = await import('../run-mesh.ts');
      const { runDemo } = await import('../demo.ts');
      await runMesh(cli, allRoles, options, options.demo ? (mesh) => runDemo(cli, mesh, options) : undefined);
    });
}
