// The rules of the house that a linter does not know.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.ts'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => path !== '' && !path.startsWith('gen/'));
const sources = files.map((path) => {
  const text = readFileSync(join(root, path), 'utf8');
  return { path, text, lines: text.split('\n').length - 1, folder: path.split('/')[0] ?? '' };
});
const isTest = (path: string) => /\.(test|contract|fixture)\.ts$|^test\//.test(path);

/** What each folder may import, besides itself. Services know ports; only cli/ and tests know adapters. */
const mayImport: Record<string, readonly string[]> = {
  runtime: ['gen'],
  storage: ['runtime', 'gen', 'eventlog'],
  eventlog: ['runtime', 'gen', 'storage'],
  cluster: ['runtime', 'gen'],
  ingest: ['runtime', 'gen', 'storage', 'eventlog', 'cluster'],
  router: ['runtime', 'gen', 'storage', 'eventlog', 'cluster'],
  edge: ['runtime', 'gen', 'storage', 'eventlog', 'cluster'],
  providers: ['runtime', 'gen', 'storage', 'eventlog', 'cluster'],
  deploy: ['runtime', 'storage'],
  client: ['gen'],
};
const ADAPTER = /\.(kafka|redis|memory|postgres|local|grpc|otlp|outbox)\.ts$/;

function importsOf(source: (typeof sources)[number]): string[] {
  return [...source.text.matchAll(/(?:from|import)\s+'(\.{1,2}\/[^']+)'/g)].map((match) =>
    normalize(join(dirname(source.path), match[1] ?? '')),
  );
}

describe('every file', () => {
  test('is at most 400 lines, and the median is about 100', () => {
    expect(sources.filter(({ lines }) => lines > 400).map(({ path, lines }) => `${path}: ${lines}`)).toEqual(
      [],
    );
    const sorted = sources.map(({ lines }) => lines).sort((a, b) => a - b);
    expect(sorted[Math.floor(sorted.length / 2)]).toBeLessThanOrEqual(130);
  });

  test('begins by saying what promise it keeps', () => {
    const mute = sources.filter(({ text }) => !/^(#!.*\n)?\/\/ .{20,}/.test(text)).map(({ path }) => path);
    expect(mute).toEqual([]);
  });

  test('is named for the thing it is', () => {
    const vague = files.filter((path) =>
      /(^|\/)(utils?|common|helpers?|models?|misc|index|types)(\.|\/)/.test(path),
    );
    expect(vague).toEqual([]);
  });

  test('leaves nothing for later and skips nothing', () => {
    const bad =
      /\b(TODO|FIXME|XXX|HACK)\b|\b(it|test|describe)\.(skip|only|todo)\b|@ts-(ignore|nocheck|expect-error)/;
    const found = sources
      .filter(({ path, text }) => path !== 'test/tidy.test.ts' && bad.test(text))
      .map(({ path }) => path);
    expect(found).toEqual([]);
  });

  test('never says any', () => {
    const found = sources.filter(
      ({ path, text }) =>
        path !== 'test/tidy.test.ts' &&
        /(:|<|\bas)\s*any\b/.test(text.replaceAll(/^\s*\/\/.*$|^\s*\*.*$/gm, '')),
    );
    expect(found.map(({ path }) => path)).toEqual([]);
  });
});

describe('imports', () => {
  test('stay inside the boundaries', () => {
    const broken = sources
      .filter(({ path, folder }) => mayImport[folder] !== undefined && !isTest(path))
      .flatMap((source) =>
        importsOf(source)
          .filter((target) => {
            const folder = target.split('/')[0] ?? '';
            return folder !== source.folder && !mayImport[source.folder]?.includes(folder);
          })
          .map((target) => `${source.path} -> ${target}`),
      );
    expect(broken).toEqual([]);
  });

  test('of adapters stand in cli/, tests and benchmarks alone', () => {
    const broken = sources
      .filter(({ path, folder }) => !isTest(path) && !['cli', 'bench'].includes(folder))
      .flatMap((source) =>
        importsOf(source)
          .filter((target) => ADAPTER.test(target) && dirname(target) !== dirname(source.path))
          .map((target) => `${source.path} -> ${target}`),
      );
    expect(broken).toEqual([]);
  });
});

test('time and chance come in through runtime/, and into the client through its clock, alone', () => {
  const bare = /\bDate\.now\(|new Date\(\)|\bMath\.random\(|\bset(Timeout|Interval)\(|\bperformance\.now\(/;
  const found = sources
    .filter(
      ({ path, text }) =>
        !path.startsWith('runtime/') &&
        !['client/clock.ts', 'test/tidy.test.ts'].includes(path) &&
        bare.test(text),
    )
    .map(({ path }) => path);
  expect(found).toEqual([]);
});
