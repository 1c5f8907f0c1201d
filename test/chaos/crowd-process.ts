// Plays the devices that it is told to, until the harness that started it is gone.
import { systemClock } from '../../runtime/clock.ts';
import { seeded } from './random.ts';
import type { Cast } from './reports.ts';
import { playStock } from './stock-device.ts';
import { Reporter } from './witness.ts';

/** So that they do not all come in one moment; the storms do that. */
const NEXT_AFTER_MS = 2;

async function play({ devices, edges, seed }: Cast): Promise<void> {
  const reporter = new Reporter((report) => void process.send?.(report));
  for (const device of devices) {
    const urls = device.edges.map((index) => edges[index]!);
    playStock(device, urls, reporter.witness(device), seeded(seed * 100_003 + device.id));
    await systemClock.sleep(NEXT_AFTER_MS);
  }
}

// The terminal's Ctrl-C is for the harness, which ends us by hanging up.
process.on('SIGINT', () => undefined);
process.on('disconnect', () => process.exit(0));
process.once('message', (cast) => void play(cast as Cast));
