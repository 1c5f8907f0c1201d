// `npm run check`: formatting, lint, import boundaries, types, dead code, the protocol's rules, and that gen/ is fresh.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Step {
  name: string;
  command: string[];
  /** What to do when it fails. */
  mend: string;
}

const root = join(import.meta.dirname, '..');
const fresh = mkdtempSync(join(tmpdir(), 'carillon-gen-'));

const steps: Step[] = [
  {
    name: 'format and lint',
    command: ['biome', 'ci', '--error-on-warnings', '.'],
    mend: 'npm run format mends what can be mended',
  },
  { name: 'types', command: ['tsc', '-p', '.'], mend: 'mend the types' },
  { name: 'dead code', command: ['knip'], mend: 'delete what nobody uses' },
  { name: 'protocol lint', command: ['buf', 'lint'], mend: 'see buf.yaml for the rules' },
  { name: 'protocol format', command: ['buf', 'format', '-d', '--exit-code'], mend: 'buf format -w' },
  {
    name: 'protocol compatibility',
    command: ['buf', 'breaking', '--against', 'proto/released.binpb'],
    mend: 'a released name or number must not change; see CONTRIBUTING.md',
  },
  { name: 'generate', command: ['buf', 'generate', '-o', fresh], mend: 'the protocol does not compile' },
  {
    name: 'gen/ is fresh',
    command: ['git', 'diff', '--no-index', '--stat', join(fresh, 'gen'), 'gen'],
    mend: 'npm run generate',
  },
];

let failed = 0;
try {
  for (const { name, command, mend } of steps) {
    const [program, ...args] = command;
    const { status, stdout, stderr, error } = spawnSync(program ?? '', args, { cwd: root, encoding: 'utf8' });
    if (status === 0) {
      process.stdout.write(`ok    ${name}\n`);
      continue;
    }
    failed++;
    process.stdout.write(
      `${stdout}${stderr}${error?.message ?? ''}\nFAIL  ${name}: ${command.join(' ')}\n      ${mend}\n`,
    );
  }
} finally {
  rmSync(fresh, { recursive: true, force: true });
}
if (failed > 0) {
  process.stdout.write(`0 passed, ${failed} failed\n`);
  process.exitCode = 1;
}
