// Plays the devices that it is told to, until the harness that started it is gone.
import { systemClock } from '../../runtime/clock.ts';
import { userHeaders, userToken } from '../support/tokens.ts';
import { type Chance, seeded } from './random.ts';
import type { Cast } from './reports.ts';
import { playSdk } from './sdk-device.ts';
import { playStock } from './stock-device.ts';
import { Reporter } from './witness.ts';

/** So that they do not all come in one moment; the storms do that. */
const NEXT_AFTER_MS = 2;
/** Some tokens end in the middle of a run, and are swapped on the open stream. */
const SHORT_LIVED = 0.1;
const SHORT_MS = 90_000;
const LONG_MS = 3_600_000;

const lifeOf = (chance: Chance): number => (chance.next() < SHORT_LIVED ? SHORT_MS : LONG_MS);

/** The harness is gone, and so are we, as soon as we hear of it. */
const nobodyListens = () => undefined;

async function play({ devices, edges, seed }: Cast): Promise<void> {
  const reporter = new Reporter((report) => void process.send?.(report, nobodyListens));
  for (const device of devices) {
    const urls = device.edges.map((index) => edges[index]!);
    const witness = reporter.witness(device);
    const chance = seeded(seed * 100_003 + device.id);
    const { userId } = device;
    if (device.kind === 'stock') {
      const known = userHeaders(userId, { ttlMs: LONG_MS });
      playStock(device, { url: urls[0]!, witness, chance, headers: () => known });
    } else {
      const token = () => userToken(userId, { ttlMs: lifeOf(chance) });
      playSdk(device, { urls, witness, chance, token });
    }
    await systemClock.sleep(NEXT_AFTER_MS);
  }
}

// The terminal's Ctrl-C is for the harness, which ends us by hanging up.
process.on('SIGINT', () => undefined);
process.on('disconnect', () => process.exit(0));
process.once('message', (cast) => void play(cast as Cast));
