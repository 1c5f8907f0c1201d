// What the documents point at is there: links, the files and names of the walk, every decision in the index.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const pages = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.md'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter(Boolean);

test.each(pages)('the links of %s lead somewhere', (page) => {
  const links = [...read(page).matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map((match) => match[1] ?? '');
  expect(links.filter((link) => !existsSync(join(root, dirname(page), link)))).toEqual([]);
});

test('the walk has seven files, and each holds what it says one begins at', () => {
  const page = read('docs/ARCHITECTURE.md');
  const rows = [...page.matchAll(/^\| (\d) `([^`]+)` \| `([^`]+)` \|/gm)];
  expect(rows.map(([, number]) => number)).toEqual(['1', '2', '3', '4', '5', '6', '7']);
  for (const [, , path = '', name = ''] of rows)
    expect(read(path), `${path} ${name}`).toMatch(
      new RegExp(`^export (async )?(function|class) ${name}\\b`, 'm'),
    );
  const named = [...page.matchAll(/[a-z]+\/[a-z.-]+\.ts\b/g)].map(([path]) => path);
  expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
});

test('the index of decisions has every page, with its number and its title', () => {
  const index = read('docs/decisions/README.md');
  const decisions = readdirSync(join(root, 'docs/decisions')).filter((name) => /^\d/.test(name));
  expect(decisions.map((name) => Number(name.slice(0, 4)))).toEqual(decisions.map((_, at) => at + 1));
  for (const [at, name] of decisions.entries()) {
    const [, title] = /^# \d+\. (.*)$/m.exec(read(`docs/decisions/${name}`)) ?? [];
    expect(index).toContain(`| [${at + 1}](${name}) | ${title} |`);
  }
});
