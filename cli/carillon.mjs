#!/usr/bin/env node
// Starts the CLI under the Node that is installed with the project when the system's own is too old to run TypeScript as it is.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const NEEDED = 26;
const major = Number(process.versions.node.split('.')[0]);
const main = fileURLToPath(new URL('./main.ts', import.meta.url));

if (!existsSync(main)) {
  process.stderr.write(
    'carillon: This package holds the client, `carillon/client`; the mesh is started from its repository. (UNSUPPORTED)\n',
  );
  process.exit(1);
} else if (major >= NEEDED) {
  const { main: run } = await import('./main.ts');
  await run();
} else {
  // `carillon` may be installed as a package itself: then its Node lies beside it, one folder further up.
  const found = ['../node_modules/.bin/node', '../../.bin/node']
    .map((path) => fileURLToPath(new URL(path, import.meta.url)))
    .find(existsSync);
  if (!found) {
    process.stderr.write(
      `carillon: This is Node ${process.versions.node}, and Carillon needs ${NEEDED}: run npm ci without --omit=optional, which installs it beside the project, or put Node ${NEEDED} on PATH. (NODE_TOO_OLD)\n`,
    );
    process.exit(1);
  }
  const child = spawn(found, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
  // Handed on, since it may be meant for us alone; a Ctrl-C reaches both of us, and the child takes the two for one.
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'];
  for (const signal of signals) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => {
    if (!signal) process.exit(code ?? 1);
    for (const each of signals) process.removeAllListeners(each);
    process.kill(process.pid, signal);
  });
}
