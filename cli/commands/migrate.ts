// carillon migrate: brings the database's schema up to date. Starting the mesh does the same.
import type { Command } from 'commander';
import { type Cli, command, loadConfig, type OutputOptions, printJson } from '../cli.ts';

interface MigrateOptions extends OutputOptions {
  data?: string;
}

export function migrateCommand(cli: Cli): Command {
  return command('migrate', "bring the database's schema up to date", ['migrate', 'migrate --json'])
    .option('--data <dir>', 'the data directory of the embedded PostgreSQL')
    .action(async (options: MigrateOptions) => {
      const { firstContactError, openPostgres } = await import('../stores.ts');
      const { openDatabase } = await import('../../storage/database.ts');
      const { migrate } = await import('../../storage/migrate.ts');
      const { ensurePartitions } = await import('../../storage/partitions.ts');
      const { config } = loadConfig(cli, { dataDir: options.data });
      await using owned = new AsyncDisposableStack();
      const url = await openPostgres(cli, config, owned);
      const db = owned.use(openDatabase({ url, connections: 1, name: 'carillon migrate' }));
      const run = async () => ({
        migrations: await migrate(db),
        partitions: await ensurePartitions(db, cli.clock.now()),
      });
      const { migrations, partitions } = await run().catch((error: unknown) => {
        throw firstContactError(error, config);
      });
      if (options.json) return printJson(cli, { migrations, partitions });
      for (const name of migrations) cli.terminal.out(`${name}\n`);
      cli.terminal.out(
        migrations.length === 0
          ? 'The schema is up to date.\n'
          : `${migrations.length} migration${migrations.length === 1 ? ' was' : 's were'} run.\n`,
      );
    });
}
