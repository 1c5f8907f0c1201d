// Ends processes at random moments and starts them again; stops Kafka for a while in between.
import { systemClock } from '../../runtime/clock.ts';
import type { History } from './history.ts';
import type { MeshUnderTest } from './mesh.ts';
import type { Chance } from './random.ts';

export interface NemesisOptions {
  killsPerRole: number;
  /** Monotonic time at which to stop, whatever has been killed; undefined: when every role has had its kills. */
  untilMs: number | undefined;
  kafkaOutageMs: number;
  say: (text: string) => void;
}

export async function runNemesis(
  mesh: MeshUnderTest,
  history: History,
  chance: Chance,
  options: NemesisOptions,
): Promise<void> {
  const { killsPerRole, untilMs, say } = options;
  await systemClock.sleep(2_000);
  const over = () =>
    untilMs === undefined
      ? mesh.roles.every(({ kills }) => kills >= killsPerRole)
      : systemClock.monotonic() >= untilMs;
  while (!over()) {
    const left = untilMs === undefined ? mesh.roles.filter(({ kills }) => kills < killsPerRole) : mesh.roles;
    const victim = chance.pick(left);
    if (victim.died)
      throw new Error(`${victim.name} ended by itself: that is a fault of the mesh, not of this harness`);
    await victim.kill();
    history.fault(`kill -9 ${victim.name}`);
    await systemClock.sleep(chance.between(0, 500));
    await victim.start();
    say(
      `kill -9 ${victim.name} (${victim.kills}); accepted ${history.accepted.length}, seen ${history.seen.length}, mails ${history.mails.length}`,
    );
    await systemClock.sleep(chance.between(200, 3_000));
  }
  if (mesh.kafka && options.kafkaOutageMs > 0) await kafkaOutage(mesh.kafka, history, options);
}

/** Stops Kafka; `Send` must go on answering meanwhile, which is checked here. */
async function kafkaOutage(
  kafka: { stop(): Promise<void>; start(): Promise<void> },
  history: History,
  { kafkaOutageMs, say }: NemesisOptions,
): Promise<void> {
  await kafka.stop();
  history.fault('stop kafka');
  const acceptedBefore = history.accepted.length;
  await systemClock.sleep(kafkaOutageMs);
  const acceptedMeanwhile = history.accepted.length - acceptedBefore;
  await kafka.start();
  say(`Kafka was away for ${kafkaOutageMs / 1_000} s; ${acceptedMeanwhile} were accepted meanwhile`);
  if (acceptedMeanwhile === 0) throw new Error('Send stopped answering while Kafka was away');
}
