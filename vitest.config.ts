// How tests run: everything against the embedded PostgreSQL, and `*.stack.test.ts` against real PostgreSQL, Kafka and Redis.
import { defineConfig } from 'vitest/config';

const bounds = {
  testTimeout: 60_000,
  hookTimeout: 120_000,
  maxWorkers: 2,
  exclude: ['**/node_modules/**', '.cache/**'],
};

// biome-ignore lint/style/noDefaultExport: vitest reads the default export.
export default defineConfig({
  test: {
    reporters: ['default', './test/support/count.reporter.ts'],
    projects: [
      {
        test: {
          ...bounds,
          name: 'mesh',
          include: ['**/*.test.ts'],
          exclude: [...bounds.exclude, '**/*.stack.test.ts'],
          globalSetup: ['./test/support/postgres.setup.ts'],
        },
      },
      {
        test: {
          ...bounds,
          name: 'stack',
          // Meshes on one Kafka read the same topics: never two at a time.
          fileParallelism: false,
          include: ['**/*.stack.test.ts'],
          globalSetup: ['./test/support/postgres.setup.ts', './test/support/stack.setup.ts'],
        },
      },
    ],
  },
});
