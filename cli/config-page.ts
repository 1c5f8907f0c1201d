// Writes docs/configuration.md out of the schema, so that no setting stays undocumented.
import { settings } from '../runtime/config.ts';
import { toolNames } from '../runtime/tool-names.ts';

const OTEL = [
  [
    'OTEL_EXPORTER_OTLP_ENDPOINT',
    'Where traces go (OTLP over HTTP, protobuf). Not set: no traces, at no cost.',
    'http://localhost:4318',
  ],
  [
    'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
    'The same for traces alone, with the full path.',
    'http://localhost:4318/v1/traces',
  ],
  ['OTEL_EXPORTER_OTLP_HEADERS', 'Headers that go with them.', 'x-key=secret'],
  [
    'OTEL_TRACES_SAMPLER',
    '`parentbased_always_on` (the default), `parentbased_traceidratio`, `parentbased_always_off`, `always_on`, `always_off`, `traceidratio`.',
    'parentbased_traceidratio',
  ],
  ['OTEL_TRACES_SAMPLER_ARG', 'The ratio, 0 to 1.', '0.01'],
  ['OTEL_SERVICE_NAME', '`carillon` when not set.', 'carillon-eu'],
  [
    'OTEL_RESOURCE_ATTRIBUTES',
    'Attributes of everything that is traced.',
    'deployment.environment.name=test',
  ],
  ['OTEL_SDK_DISABLED', '`true` switches traces off.', 'true'],
] as const;

function table(rows: readonly (readonly string[])[]): string {
  return [
    '| name | default | what | example |',
    '|---|---|---|---|',
    ...rows.map((row) => `| ${row.join(' | ')} |`),
  ].join('\n');
}

const code = (text: string): string => (text.includes('`') ? text : `\`${text}\``);

/** The page as Markdown. */
export function configurationPage(): string {
  const groups = [...new Set(settings.map(({ group }) => group))];
  const sections = groups.map((group) => {
    const rows = settings
      .filter((setting) => setting.group === group)
      .map(({ name, default: value, fallback, description, example }) => [
        `\`${name}\``,
        value === undefined ? (fallback ?? '–') : code(value),
        description,
        code(example),
      ]);
    return `## ${group}\n\n${table(rows)}`;
  });
  const otel = OTEL.map(([name, what, example]) => [`\`${name}\``, '–', what, code(example)]);
  return `<!-- Made from runtime/config.ts; a test holds it fresh (vitest run cli/config-page.test.ts -u writes it). -->
# Configuration

Settings come from the environment or from \`carillon.config.json\` in the working directory; the environment wins. In the file a
setting has the name below, or the same in camel case: \`CARILLON_EDGE_PORT\` is \`edgePort\`. An empty value counts as not set. A name
that is not below refuses the start, and so does a value that cannot be right. \`carillon config check\` says whether a
configuration can be used; \`carillon config show\` prints what is in force and where it comes from, with passwords masked.

${sections.join('\n\n')}

## Traces

The standard names of OpenTelemetry, from the environment alone.

${table(otel)}

## Tools

Names that a start leaves alone.

${Object.entries(toolNames)
  .map(([name, what]) => `- \`${name}\`: ${what}`)
  .join('\n')}
`;
}
