// One real PostgreSQL, Redis and Kafka for all tests that need them.
import type { TestProject } from 'vitest/node';
import { startStack } from '../../deploy/stack/stack.ts';

declare module 'vitest' {
  interface ProvidedContext {
    stack: { postgresUrl: string; kafkaBrokers: string; redisUrl: string };
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const stack = await startStack({});
  project.provide('stack', {
    postgresUrl: stack.postgresUrl,
    kafkaBrokers: stack.kafkaBrokers,
    redisUrl: stack.redisUrl,
  });
  return () => stack.stop();
}
