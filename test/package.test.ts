// What is published works where it is used: packed, checked, imported by plain Node, type-checked, and bundled for a browser.
import { execFile, spawnSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildClient } from '../client/build.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..');
/** What an app downloads for it: 51 KB when this was written, four fifths of it protobuf-es, Connect and the messages. */
const GZIP_BYTES = 55_000;

/** The program of a package that is installed here. */
function program(name: string, bin: string): string {
  const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
  const { bin: bins } = createRequire(import.meta.url)(manifest) as { bin: Record<string, string> };
  return join(dirname(manifest), bins[bin] ?? '');
}

let directory: string;
let tarball: string;
/** An app that has installed the package, and of what it depends on no more than a client needs. */
let app: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'carillon-package-'));
  const source = join(directory, 'source');
  app = join(directory, 'app');
  await mkdir(join(source, 'cli'), { recursive: true });
  for (const file of ['package.json', 'README.md', 'LICENSE', 'cli/carillon.mjs'])
    await cp(join(root, file), join(source, file));
  buildClient(join(source, 'dist'));
  const packed = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', directory], {
    cwd: source,
  });
  tarball = join(directory, JSON.parse(packed.stdout)[0].filename);
  const modules = join(app, 'node_modules');
  await mkdir(join(modules, 'carillon'), { recursive: true });
  await run('tar', ['-xzf', tarball, '--strip-components=1', '-C', join(modules, 'carillon')]);
  for (const scope of ['@bufbuild', '@connectrpc']) await mkdir(join(modules, scope));
  for (const name of ['@bufbuild/protobuf', '@connectrpc/connect', '@connectrpc/connect-web'])
    await symlink(join(root, 'node_modules', name), join(modules, name));
  await writeFile(join(app, 'package.json'), '{"type":"module"}');
}, 120_000);

afterAll(() => rm(directory, { recursive: true, force: true }));

describe('the package', () => {
  test('has what it promises and nothing that is not for it: publint, attw', async () => {
    const { messages, pkg } = await publint({ pkgDir: join(app, 'node_modules/carillon'), strict: true });
    expect(messages.map((message) => formatMessage(message, pkg))).toEqual([]);
    // Fails when it finds something. ES modules alone: whoever requires them does it in Node 22 or with a bundler.
    const attw = [program('@arethetypeswrong/cli', 'attw'), tarball, '--profile', 'esm-only'];
    await run(process.execPath, [...attw, '--no-definitely-typed']).catch((error: { stdout: string }) => {
      throw new Error(error.stdout);
    });
    const { stdout: listed } = await run('tar', ['-tzf', tarball]);
    const files = listed.trim().split('\n');
    expect(files).toContain('package/dist/client/client.js');
    expect(
      files.filter((file) => /test|fixture|contract|\.ts$/.test(file) && !file.endsWith('.d.ts')),
    ).toEqual([]);
  });

  test('is imported by plain Node, and connects', async () => {
    await writeFile(
      join(app, 'app.js'),
      `import { CarillonClient, memoryCursors, Activity } from 'carillon/client';
       const client = new CarillonClient({ url: 'http://127.0.0.1:9', token: () => 'none', cursors: memoryCursors() });
       client.on('error', ({ reason }) => { console.log(reason, Activity.FOREGROUND); void client.close(); });
       client.start();`,
    );
    const { stdout } = await run(process.execPath, ['app.js'], { cwd: app });
    expect(stdout.trim()).toBe('UNREACHABLE 1');
  });

  test.each(['nodenext', 'bundler'])(
    'has types that an app compiles with, resolved as %s',
    async (resolution) => {
      const compile = async (more: string) => {
        await writeFile(
          join(app, 'app.ts'),
          `import { CarillonClient, type ReceivedItem, localStorageCursors, Mark } from 'carillon/client';
         const client: CarillonClient = new CarillonClient({ url: ['https://a'], token: async () => '', cursors: localStorageCursors() });
         const off: () => void = client.on('item', (item: ReceivedItem) => console.log(item.item.content?.title, item.seq));
         for await (const { item } of client.items()) await client.mark({ mark: Mark.READ, notificationIds: [item.notificationId] });
         off();
         ${more}`,
        );
        const module = resolution === 'bundler' ? 'esnext' : 'nodenext';
        const { stdout } = spawnSync(
          process.execPath,
          [
            program('typescript', 'tsc'),
            ...['--noEmit', '--strict', '--target', 'es2022', '--lib', 'es2022,dom', '--types', ''],
            ...['--module', module, '--moduleResolution', resolution, 'app.ts'],
          ],
          { cwd: app, encoding: 'utf8' },
        );
        return stdout;
      };
      expect(await compile('')).toBe('');
      expect(await compile(`client.on('nothing', () => {});`)).toContain('"nothing"');
    },
  );

  test('is bundled for a browser: small, and without anything of Node', async () => {
    const { outputFiles, metafile } = await build({
      stdin: { contents: `export * from 'carillon/client'`, resolveDir: app },
      bundle: true,
      minify: true,
      write: false,
      metafile: true,
      format: 'esm',
      platform: 'browser',
      target: 'es2022',
    });
    const imports = Object.values(metafile.outputs).flatMap(({ imports }) => imports);
    expect(imports).toEqual([]);
    const bytes = outputFiles[0]!.contents;
    const gzipped = gzipSync(bytes).length;
    process.stderr.write(`carillon/client: ${bytes.length} bytes minified, ${gzipped} gzipped\n`);
    expect(gzipped).toBeLessThan(GZIP_BYTES);
  });

  test('says plainly that it is not the mesh', async () => {
    const started = spawnSync(process.execPath, ['node_modules/carillon/cli/carillon.mjs'], {
      cwd: app,
      encoding: 'utf8',
    });
    expect(started.status).toBe(1);
    expect(started.stderr).toContain('holds the client');
    expect(
      JSON.parse(await readFile(join(app, 'node_modules/carillon/package.json'), 'utf8')).version,
    ).toBeDefined();
  });
});
