// Builds what the package ships: the client and the generated code it needs, as ES modules with their types.
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';

const compiler = (): string => {
  const { resolve: find } = createRequire(import.meta.url);
  const manifest = find('typescript/package.json');
  const { bin } = JSON.parse(readFileSync(manifest, 'utf8')) as { bin: { tsc: string } };
  return join(dirname(manifest), bin.tsc);
};

/** Writes `client/` and `gen/` into `directory`, which it empties first. Throws with what the compiler says. */
export function buildClient(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
  const project = join(import.meta.dirname, 'tsconfig.json');
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [compiler(), '-p', project, '--outDir', directory],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`the client does not compile:\n${stdout}${stderr}`);
  // In types the compiler leaves import paths as they are: `.ts`, which nobody has who has the package.
  for (const path of globSync('**/*.d.ts', { cwd: directory })) {
    const file = join(directory, path);
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.replaceAll(/(from ['"]\.{1,2}\/[^'"]+)\.ts(['"])/g, '$1.js$2'));
  }
}

if (import.meta.main) buildClient(resolve(import.meta.dirname, '../dist'));
