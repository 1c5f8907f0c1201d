// carillon categories: what goes for all notifications of a category. What is not named stays as it is; an empty value clears.
import { create } from '@bufbuild/protobuf';
import { durationFromMs, durationMs } from '@bufbuild/protobuf/wkt';
import { Command } from 'commander';
import { BackgroundPolicy, type Category, CategorySchema } from '../../gen/carillon/v1/admin_pb.ts';
import { type Cli, commaList, command, printJson } from '../cli.ts';
import { adminClient, reaching, type TargetOptions } from '../clients.ts';
import { escalationStep, escalationText, milliseconds } from '../escalation.ts';
import { backgroundName, backgroundNumber } from '../names.ts';
import { oneLine, table } from '../terminal.ts';

interface SetOptions extends TargetOptions {
  background?: string;
  linger?: string;
  escalate?: string[];
}

const backgroundOf = ({ background }: Category): string | null =>
  background === BackgroundPolicy.UNSPECIFIED ? null : backgroundName(background);

const categoryJson = (category: Category) => ({
  id: category.id,
  background: backgroundOf(category),
  linger_ms: category.linger ? durationMs(category.linger) : null,
  escalation: category.escalation.map(escalationText),
});

function print(cli: Cli, categories: readonly Category[], json: boolean | undefined): void {
  if (json) {
    for (const category of categories) printJson(cli, categoryJson(category));
    return;
  }
  const rows = categories.map((category) => [
    oneLine(category.id),
    backgroundOf(category) ?? 'by lane',
    category.linger ? `${durationMs(category.linger) / 1_000} s` : '5 s',
    category.escalation.map(escalationText).join(', ') || 'in_app, push, email',
  ]);
  cli.terminal.out(table(['category', 'in the background', 'linger', 'plan'], rows));
}

async function all(cli: Cli, options: TargetOptions): Promise<Category[]> {
  return (await adminClient(cli, options).listCategories({}, { signal: cli.signal })).categories;
}

/** Only what the options name changes. Throws USAGE. */
function changed(category: Category, { background, linger, escalate }: SetOptions): Category {
  if (background !== undefined)
    category.background = background === '' ? BackgroundPolicy.UNSPECIFIED : backgroundNumber(background);
  if (linger === '') delete category.linger;
  else if (linger !== undefined) category.linger = durationFromMs(milliseconds(linger, '--linger'));
  if (escalate) category.escalation = escalate.map(escalationStep);
  return category;
}

function setCommand(cli: Cli): Command {
  const made = command('set', 'say what goes for a category', [
    'categories set order_shipped --background stream_and_push --linger 20s',
    'categories set invoice --escalate in_app,email:1h:not_read',
    'categories set order_shipped --background ""',
  ])
    .argument('<category>', 'the category of notifications; default: of those that name none')
    .option(
      '--background <policy>',
      'for users who do not look at the app: stream_only or stream_and_push (default: by lane, critical stream_and_push)',
    )
    .option(
      '--linger <duration>',
      'how long a user who vanished counts as coming back, up to 60s (default: 5s)',
    )
    .option(
      '--escalate <steps>',
      'the plan: channel[:after[:not_delivered|not_read]], … (default: in_app,push,email)',
      commaList,
    );
  return reaching(made, 'ingest').action(async (id: string, options: SetOptions) => {
    const known = (await all(cli, options)).find((category) => category.id === id);
    const category = changed(known ?? create(CategorySchema, { id }), options);
    await adminClient(cli, options).putCategory({ category }, { signal: cli.signal });
    print(cli, [category], options.json);
  });
}

function listCommand(cli: Cli): Command {
  const made = command('list', 'the categories that say something', [
    'categories list',
    'categories list --json',
  ]);
  return reaching(made, 'ingest').action(async (options: TargetOptions) => {
    const categories = await all(cli, options);
    if (categories.length === 0 && !options.json)
      return cli.terminal.out('No category says anything: all go by the rules of their lane.\n');
    print(cli, categories, options.json);
  });
}

function deleteCommand(cli: Cli): Command {
  const made = command('delete', 'let a category go by the rules of its lane again', [
    'categories delete order_shipped',
  ]).argument('<category>', 'the category');
  return reaching(made, 'ingest').action(async (id: string, options: TargetOptions) => {
    await adminClient(cli, options).deleteCategory({ id }, { signal: cli.signal });
    if (options.json) return printJson(cli, { id, deleted: true });
    cli.terminal.out(`${oneLine(id)} goes by the rules of its lane.\n`);
  });
}

export function categoriesCommand(cli: Cli): Command {
  return new Command('categories')
    .description('what goes for all notifications of a category')
    .addCommand(setCommand(cli))
    .addCommand(listCommand(cli))
    .addCommand(deleteCommand(cli));
}
