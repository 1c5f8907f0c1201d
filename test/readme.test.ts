// What the README tells people to type is what works: its curl and its client are taken from it and run against a mesh.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { buildClient } from '../client/build.ts';
import { bearer } from '../runtime/bearer.ts';
import { startRunningMesh } from './support/running-mesh.ts';

const root = join(import.meta.dirname, '..');

/** The first code block of that language whose text holds `part`. */
async function block(language: string, part: string): Promise<string> {
  const readme = await readFile(join(root, 'README.md'), 'utf8');
  const found = [...readme.matchAll(/```(\w+)\n([\s\S]*?)```/g)].find(
    ([, tag, text]) => tag === language && text?.includes(part),
  );
  if (!found?.[2]) throw new Error(`the README has no ${language} block with ${part}`);
  return found[2];
}

/** The lines that a child prints, one after the other; rejects when it ends before. */
function linesOf(child: ChildProcess): () => Promise<string> {
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  return async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error('the example ended before it printed what it should');
    return value;
  };
}

interface Sample {
  /** What stands in its block of the README, and in no other. */
  part: string;
  /** It has to stay short enough to be read. */
  lines: number;
  /** Lets it say a word of its own when the stream is open, so that the message is not sent before. */
  saying(client: string): string;
}

const samples: Record<string, Sample> = {
  'client of this package': {
    part: 'CarillonClient',
    lines: 12,
    saying: (client) =>
      client.replace(
        'client.start();',
        "client.on('state', (state) => { if (state === 'open') console.log('open'); });\nclient.start();",
      ),
  },
  'stock client': {
    part: 'edge.subscribe',
    lines: 15,
    saying: (client) =>
      client.replace(
        'sessionId = frame.value.sessionId;',
        "{ sessionId = frame.value.sessionId; console.log('open'); }",
      ),
  },
};

test.each(Object.keys(samples))(
  'the %s of the README shows what its curl sends, and acknowledges it',
  async (name) => {
    const { part, lines, saying } = samples[name]!;
    await using mesh = await startRunningMesh();
    const directory = await mkdtemp(join(tmpdir(), 'carillon-readme-'));
    for (const name of ['gen', 'node_modules']) await symlink(join(root, name), join(directory, name));
    const client = (await block('ts', part)).replace('http://127.0.0.1:7200', mesh.edge);
    expect(client).toContain(mesh.edge);
    expect(client.trim().split('\n').length).toBeLessThanOrEqual(lines);
    await writeFile(join(directory, 'client.ts'), saying(client));
    // A package may import itself by its name.
    buildClient(join(directory, 'dist'));
    await copyFile(join(root, 'package.json'), join(directory, 'package.json'));
    const receiver = spawn(process.execPath, ['client.ts'], {
      cwd: directory,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, TOKEN: await mesh.tokenOf('ada') },
    });
    try {
      const shown = linesOf(receiver);
      expect(await shown()).toBe('open');
      const curl = (await block('sh', 'IngestService/Send'))
        .replace('http://127.0.0.1:7100', mesh.ingest)
        .replace('.carillon', join(mesh.directory, 'data'));
      expect(curl).toContain(mesh.ingest);
      const sender = spawn('sh', ['-c', curl], { stdio: ['ignore', 'pipe', 'ignore'] });
      const { notificationId } = JSON.parse(await linesOf(sender)());
      expect(notificationId).toMatch(/^[0-9a-f-]{36}$/);
      expect(await shown()).toBe('Your order is on its way');
      await expect
        .poll(
          async () => {
            const response = await fetch(`${mesh.ingest}/carillon.v1.IngestService/GetNotification`, {
              method: 'POST',
              headers: { 'content-type': 'application/json', ...bearer(mesh.apiKey) },
              body: JSON.stringify({ notificationId }),
            });
            return (await response.json()).status.deliveries[0]?.state;
          },
          { timeout: 10_000 },
        )
        .toBe('DELIVERY_STATE_DELIVERED');
    } finally {
      const gone = once(receiver, 'exit');
      receiver.kill();
      await gone;
      await rm(directory, { recursive: true, force: true });
    }
  },
);
