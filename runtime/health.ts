// The standard health service: says SERVING while the process can do its work, and tells those who watch when that changes.
import { Health, HealthCheckResponse_ServingStatus as Serving } from '../gen/grpc/health/v1/health_pb.ts';
import { CarillonError } from './errors.ts';
import { type Mount, mount } from './mount.ts';

export interface HealthState {
  /** For all services of the port; true at the start. */
  set(serving: boolean): void;
  readonly mount: Mount;
}

/** `services`: full names that may be asked for, besides the empty one. */
export function createHealth(services: readonly string[]): HealthState {
  const known = new Set(['', ...services]);
  const watchers = new Set<() => void>();
  let status: Serving = Serving.SERVING;
  return {
    set(serving) {
      const next = serving ? Serving.SERVING : Serving.NOT_SERVING;
      if (next === status) return;
      status = next;
      for (const wake of watchers) wake();
    },
    mount: mount(Health, {
      check({ service }) {
        if (!known.has(service)) throw new CarillonError('SERVICE_UNKNOWN');
        return { status };
      },
      async *watch({ service }, { signal }) {
        let told: Serving | undefined;
        for (;;) {
          const now = known.has(service) ? status : Serving.SERVICE_UNKNOWN;
          if (now !== told) yield { status: now };
          told = now;
          await changed(watchers, signal);
          signal.throwIfAborted();
        }
      },
    }),
  };
}

function changed(watchers: Set<() => void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const wake = () => {
      watchers.delete(wake);
      signal.removeEventListener('abort', wake);
      resolve();
    };
    watchers.add(wake);
    signal.addEventListener('abort', wake, { once: true });
  });
}
