// A user's stream that does not end: reconnects with its cursor, waits as it is told to, and gives up only for good reasons.
import { durationMs } from '@bufbuild/protobuf/wkt';
import type { Client } from '@connectrpc/connect';
import type { EdgeService, SubscribeResponse } from '../gen/carillon/v1/edge_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import type { CarillonError } from '../runtime/errors.ts';
import { systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import { carillonError } from '../runtime/wire-errors.ts';

export interface SubscriptionOptions {
  client: Client<typeof EdgeService>;
  /** What `client` calls with; told when another one is needed. */
  tokens?: { drop(): void };
  /** Absent: from now on. */
  cursor?: string | undefined;
  deviceId?: string | undefined;
  clock: Clock;
  /** Ends it without an error. */
  signal: AbortSignal;
  /** Told before each wait for the next try. */
  onLost?(error: CarillonError | undefined, waitMs: number): void;
}

/** The token of the stream runs out: the session goes on with another one. Should that fail, the stream ends and is opened anew. */
function renew({ client, tokens, signal }: SubscriptionOptions, sessionId: string): void {
  tokens?.drop();
  client.reauthenticate({ sessionId }, { signal, timeoutMs: limits.cliConnectMs }).catch(() => {});
}

/** Frames of one connection; throws when it breaks, or when nothing came for twice the heartbeat. */
async function* connection(options: SubscriptionOptions, cursor: string | undefined) {
  const { client, clock, signal } = options;
  const call = new AbortController();
  const stop = () => call.abort();
  signal.addEventListener('abort', stop, { once: true });
  let silence = clock.after(limits.cliConnectMs, stop);
  let sessionId = '';
  let allowedMs: number = limits.cliConnectMs;
  try {
    const frames = client.subscribe({ cursor, deviceId: options.deviceId }, { signal: call.signal });
    for await (const response of frames) {
      silence[Symbol.dispose]();
      if (response.frame.case === 'hello') sessionId = response.frame.value.sessionId;
      if (response.frame.case === 'reauthenticate') renew(options, sessionId);
      if (response.frame.case === 'hello' && response.frame.value.heartbeat)
        allowedMs = 2 * durationMs(response.frame.value.heartbeat);
      yield response;
      silence[Symbol.dispose]();
      silence = clock.after(allowedMs, stop);
    }
  } finally {
    silence[Symbol.dispose]();
    signal.removeEventListener('abort', stop);
    // Leaving the loop alone would let the server go on producing.
    call.abort();
  }
}

function cursorOf({ frame }: SubscribeResponse): string | undefined {
  switch (frame.case) {
    case 'hello':
    case 'deliver':
    case 'update':
    case 'watermark':
      return frame.value.cursor || undefined;
    default:
      return undefined;
  }
}

/**
 * Yields frames until `signal` aborts. Throws a CarillonError when the first connection fails, and later when the
 * edge says that trying again is of no use.
 */
export async function* subscription(options: SubscriptionOptions): AsyncGenerator<SubscribeResponse> {
  let { cursor } = options;
  let everConnected = false;
  let failures = 0;
  while (!options.signal.aborted) {
    let lost: CarillonError | undefined;
    let waitMs: number | undefined;
    try {
      for await (const response of connection(options, cursor)) {
        everConnected = true;
        failures = 0;
        cursor = cursorOf(response) ?? cursor;
        if (response.frame.case === 'goAway' && response.frame.value.reconnectAfter)
          waitMs = durationMs(response.frame.value.reconnectAfter);
        yield response;
      }
    } catch (error) {
      if (options.signal.aborted) return;
      lost = carillonError(error);
      const stale = lost.reason === 'TOKEN_EXPIRED' || lost.reason === 'TOKEN_REVOKED';
      if (stale) options.tokens?.drop();
      // A new token that is refused as well would be refused for ever.
      const hopeless = stale ? failures > 0 || !options.tokens : lost.retry === 'never';
      if (!everConnected || hopeless) throw lost;
    }
    if (options.signal.aborted) return;
    const ceiling = Math.min(limits.reconnectMaxMs, limits.reconnectMinMs * 2 ** failures++);
    waitMs ??= lost?.retryAfterMs ?? Math.round(ceiling * (0.5 + systemIds.random() / 2));
    options.onLost?.(lost, waitMs);
    await options.clock.sleep(waitMs, options.signal);
  }
}
