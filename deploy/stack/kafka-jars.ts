// Apache Kafka's class path: fetched once through Maven, and never used unless each jar is the one the lock file names.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CarillonError } from '../../runtime/errors.ts';
import { limits } from '../../runtime/limits.ts';
import { cacheDirectory, findProgram, intoCache } from './cache.ts';

interface Lock {
  /** Of `org.apache.kafka:kafka_2.13`. */
  version: string;
  /** SHA-256 of each jar on the class path, by file name. */
  jars: Record<string, string>;
}

const LOCK_FILE = join(import.meta.dirname, 'kafka.lock.json');
const run = promisify(execFile);

/** The class path Maven is asked for. The binding is what lets Kafka say anything at all: its own jar brings none. */
const pom = (version: string) => `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>carillon</groupId>
  <artifactId>kafka-class-path</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${version}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.4</version></dependency>
  </dependencies>
</project>
`;

const COPY = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';

async function checksums(directory: string): Promise<Record<string, string>> {
  const names = (await readdir(directory).catch(() => [])).filter((name) => name.endsWith('.jar')).sort();
  const sums = names.map(async (name) => [
    name,
    createHash('sha256')
      .update(await readFile(join(directory, name)))
      .digest('hex'),
  ]);
  return Object.fromEntries(await Promise.all(sums));
}

/** What is wrong with a set of jars, in words; undefined when it is exactly the locked one. */
export function mismatch(found: Record<string, string>, locked: Record<string, string>): string | undefined {
  const missing = Object.keys(locked).filter((name) => !(name in found));
  const unexpected = Object.keys(found).filter((name) => !(name in locked));
  const changed = Object.keys(locked).filter((name) => name in found && found[name] !== locked[name]);
  const parts = [
    missing.length > 0 && `missing: ${missing.join(', ')}`,
    unexpected.length > 0 && `not in the lock: ${unexpected.join(', ')}`,
    changed.length > 0 && `another SHA-256 than the lock says: ${changed.join(', ')}`,
  ].filter(Boolean);
  return parts.length > 0 ? parts.join('; ') : undefined;
}

async function fetchJars(version: string, directory: string): Promise<void> {
  const mvn = await findProgram('mvn');
  if (!mvn) {
    throw new CarillonError(
      'STACK_UNAVAILABLE',
      `Apache Kafka's jars are fetched by Maven, and there is no mvn on PATH: install it (Debian: apt-get install maven), or put the jars that deploy/stack/kafka.lock.json names into ${join(cacheDirectory(), `kafka-${version}`)}.`,
    );
  }
  const work = join(directory, '.maven');
  await mkdir(work);
  await writeFile(join(work, 'pom.xml'), pom(version));
  const args = [
    '-q',
    '-B',
    '-f',
    join(work, 'pom.xml'),
    COPY,
    '-DincludeScope=runtime',
    `-DoutputDirectory=${directory}`,
  ];
  // Java takes the home directory from the password file; where HOME says another one (a container's user), ours holds.
  if (userInfo().homedir !== homedir())
    args.push(`-Dmaven.repo.local=${join(homedir(), '.m2', 'repository')}`);
  await run(mvn, args, { cwd: work, timeout: limits.stackFetchMs, maxBuffer: 1 << 24 }).catch((cause) => {
    const said = String(cause.stdout || cause.stderr || cause.message);
    const line = said.split('\n').find((text) => text.includes('ERROR')) ?? said.split('\n')[0];
    throw new CarillonError('STACK_UNAVAILABLE', `Maven could not fetch Apache Kafka ${version}: ${line}`, {
      cause,
    });
  });
}

async function readLock(): Promise<Lock> {
  return JSON.parse(await readFile(LOCK_FILE, 'utf8'));
}

/** The directory of the locked jars, from the cache when they are there; works offline from the second time on. */
export async function kafkaJars(
  log: (line: string) => void,
): Promise<{ directory: string; version: string }> {
  const lock = await readLock();
  const name = `kafka-${lock.version}`;
  const directory = join(cacheDirectory(), name);
  if (mismatch(await checksums(directory), lock.jars) === undefined)
    return { directory, version: lock.version };
  log(
    `kafka: fetching Apache Kafka ${lock.version} (${Object.keys(lock.jars).length} jars) into ${directory}`,
  );
  await intoCache(name, async (draft) => {
    await fetchJars(lock.version, draft);
    const wrong = mismatch(await checksums(draft), lock.jars);
    if (wrong) {
      throw new CarillonError(
        'STACK_UNAVAILABLE',
        `The jars of Apache Kafka ${lock.version} are not the locked ones (${wrong}); they are not used.`,
      );
    }
  });
  return { directory, version: lock.version };
}

/** Writes the lock anew from what Maven gives for `version` (default: the locked one); the change is for a person to review. */
export async function writeLock(version: string | undefined, log: (line: string) => void): Promise<void> {
  const wanted = version ?? (await readLock()).version;
  log(`kafka: asking Maven for Apache Kafka ${wanted}`);
  await intoCache(`kafka-${wanted}`, async (draft) => {
    await fetchJars(wanted, draft);
    const lock: Lock = { version: wanted, jars: await checksums(draft) };
    await writeFile(join(draft, 'kafka.lock.json'), `${JSON.stringify(lock, undefined, 2)}\n`);
  });
  await cp(join(cacheDirectory(), `kafka-${wanted}`, 'kafka.lock.json'), LOCK_FILE);
}
