// Where the machine goes when a stream begins, moves on or ends: how long it waits, which address it tries, what it forgets.
import { type Hello, Resume } from '../gen/carillon/v1/edge_pb.ts';
import type { Failure } from './failure.ts';
import { limits } from './limits.ts';
import type { Effect, EventOf, Memory, State, StateKind, StateOf, Step, World } from './machine.states.ts';

function memoryOf(state: Memory): Memory {
  const { urls, urlAt, edge, mayRedirect, stayUntilMs, loaded, cursor, seq } = state;
  const { line, cursorLost, failures, refusals, moves } = state;
  return {
    urls,
    urlAt,
    edge,
    mayRedirect,
    stayUntilMs,
    loaded,
    cursor,
    seq,
    line,
    cursorLost,
    failures,
    refusals,
    moves,
  };
}

type Extra<K extends StateKind> = Omit<StateOf<K>, keyof Memory | 'kind'>;

/** To another state, which takes along what all states share, with `changes`. */
export function to<K extends StateKind>(
  kind: K,
  from: Memory,
  extra: Extra<K>,
  effects: readonly Effect[] = [],
  changes: Partial<Memory> = {},
): Step<K> {
  return { state: { ...memoryOf(from), ...changes, ...extra, kind } as unknown as StateOf<K>, effects };
}

/** No further than this state: the same with `changes`. */
export const stay = <K extends StateKind>(
  state: StateOf<K>,
  effects: readonly Effect[] = [],
  changes: Partial<Memory> = {},
): Step<K> => ({ state: Object.keys(changes).length === 0 ? state : { ...state, ...changes }, effects });

/** Full jitter: anything from 0 to a ceiling that doubles with each failure. */
const jitter = (failures: number, world: World): number =>
  world.random() * Math.min(limits.reconnectMaxMs, limits.reconnectBaseMs * 2 ** Math.min(failures, 30));

const told = (ms: number | undefined): number => Math.min(limits.reconnectToldMs, Math.max(0, ms ?? 0));

export const authorize = (from: Memory, fresh = false): Step<'authorizing'> =>
  to('authorizing', from, { fresh }, [{ do: 'authorize', fresh }]);

/** Calls the edge that a GoAway named, else the address whose turn it is. */
export function open(from: Memory, world: World): Step<'connecting'> {
  const redirected = from.edge !== undefined;
  const url = from.edge ?? from.urls[from.urlAt] ?? '';
  const mayRedirect = from.mayRedirect && world.nowMs >= from.stayUntilMs;
  return to('connecting', from, { redirected }, [{ do: 'open', url, cursor: from.cursor, mayRedirect }]);
}

const fail = (from: Memory, failure: Failure): Step<'failed'> =>
  to('failed', from, { failure }, [{ do: 'report', failure }]);

/** One failure more, and another try after `ms`. */
function again(from: Memory, failure: Failure, ms: number, changes: Partial<Memory> = {}): Step<'waiting'> {
  const effects: Effect[] = [
    { do: 'report', failure },
    { do: 'wait', ms },
  ];
  return to('waiting', from, {}, effects, { failures: from.failures + 1, ...changes });
}

/** After a token that the edge refused: at once for the first, at growing distances later, and not for ever. */
function refused(from: Memory, failure: Failure, world: World): Step<'waiting' | 'failed'> {
  const refusals = from.refusals + 1;
  if (refusals > limits.refusalsCount) return fail(from, failure);
  const own = from.failures === 0 && refusals === 1 ? 0 : jitter(from.failures, world);
  const ms = Math.max(own, told(failure.retryAfterMs));
  return again(from, failure, ms, { refusals, edge: undefined });
}

/** The stream ended by itself, or could not be opened. */
export function lost(
  from: StateOf<'connecting'> | StateOf<'open'>,
  failure: Failure,
  world: World,
): Step<'waiting' | 'failed'> {
  if (failure.remedy === 'none') return fail(from, failure);
  if (failure.remedy === 'token') return refused(from, failure, world);
  if (failure.remedy === 'cursor' && from.cursor !== undefined) return lostCursor(from, failure, world);
  return retried(from, failure, world);
}

/** Without the cursor: the next Hello says RESET. */
function lostCursor(from: Memory, failure: Failure, world: World): Step<'waiting'> {
  const ms = jitter(from.failures, world);
  const { state, effects } = again(from, failure, ms, {
    cursor: undefined,
    seq: 0,
    cursorLost: failure.reason,
  });
  return { state, effects: [{ do: 'forget' }, ...effects] };
}

/** Once more, later and at the next address. */
export function retried(
  from: StateOf<'connecting'> | StateOf<'open'>,
  failure: Failure,
  world: World,
): Step<'waiting'> {
  const ms = Math.max(jitter(from.failures, world), told(failure.retryAfterMs));
  // Only one that was named by another edge and does not answer is to blame on the naming.
  const misled = from.kind === 'connecting' && from.redirected;
  const changes: Partial<Memory> = misled
    ? { stayUntilMs: world.nowMs + limits.stayMs, moves: 0 }
    : { urlAt: (from.urlAt + 1) % from.urls.length };
  return again(from, failure, ms, { edge: undefined, ...changes });
}

/** The callback had no token; what it throws may pass, like any call that fails. */
export function tokenless(from: Memory, failure: Failure, world: World): Step<'waiting' | 'failed'> {
  if (failure.remedy === 'none') return fail(from, failure);
  const ms = Math.max(jitter(from.failures, world), told(failure.retryAfterMs));
  return again(from, failure, ms);
}

/** An address to follow: an absolute one, never from TLS to plain text. */
function followable(edge: string, from: Memory): boolean {
  if (/^https:\/\/[^/]/i.test(edge)) return true;
  return /^http:\/\/[^/]/i.test(edge) && !/^https:/i.test(from.urls[from.urlAt] ?? '');
}

/** What a GoAway asks for: how long to wait, and where to go. Who is sent on and on stays where it was first. */
export function sentAway(
  from: StateOf<'connecting'> | StateOf<'open'>,
  event: EventOf<'goAway'>,
  world: World,
): { ms: number; changes: Partial<Memory> } {
  const moved = event.reason === 'MOVED';
  const moves = moved ? from.moves + 1 : 0;
  if (moves >= limits.movesCount)
    return {
      ms: Math.max(jitter(from.failures, world), told(event.afterMs)),
      changes: {
        moves: 0,
        edge: undefined,
        stayUntilMs: world.nowMs + limits.stayMs,
        failures: from.failures + 1,
      },
    };
  const staying = !from.mayRedirect || world.nowMs < from.stayUntilMs;
  const edge = !staying && followable(event.edge, from) ? event.edge : undefined;
  const settled = from.kind === 'open' && from.stable;
  // One that sends away whoever has just come is no better than one that fails.
  const shunned = !settled && !(moved && edge !== undefined);
  const own = shunned || event.afterMs === undefined ? jitter(from.failures, world) : 0;
  const ms = moved && edge !== undefined ? told(event.afterMs) : Math.max(own, told(event.afterMs));
  return { ms, changes: { moves, edge, ...(shunned && { failures: from.failures + 1 }) } };
}

/** Hello: the stream is open, from where it says. */
export function greeted(from: StateOf<'connecting'>, hello: Hello): Step<'open'> {
  const reset = hello.resume !== Resume.RESUMED && hello.resume !== Resume.PARTIAL;
  const position = { cursor: hello.cursor, seq: reset ? 0 : from.seq };
  const line = reset ? from.line + 1 : from.line;
  const effects: Effect[] = [];
  if (reset) effects.push({ do: 'newLine' });
  effects.push({ do: 'greet', hello });
  if (hello.resume !== Resume.RESUMED)
    effects.push({
      do: 'resync',
      resume: reset ? 'reset' : 'partial',
      reason: from.cursorLost || hello.resumeReason,
    });
  effects.push(
    { do: 'position', position, previous: position.seq, line },
    { do: 'counts', unseen: hello.unseen, unread: hello.unread },
  );
  return to('open', from, { sessionId: hello.sessionId, stable: false }, effects, {
    ...position,
    line,
    cursorLost: '',
    refusals: 0,
  });
}

/** A position of the sequence. What is at or before the last one was here already. */
export function received<K extends 'open' | 'leaving'>(
  state: StateOf<K> & State,
  { frame }: EventOf<'frame'>,
): Step<K> {
  const { line, seq: previous } = state;
  const again = state as unknown as StateOf<K>;
  if (frame.case === 'deliver') {
    const deliver = frame.value;
    if (deliver.seq <= previous) return stay<K>(again);
    return stay<K>(again, [{ do: 'item', deliver, previous, line }], {
      seq: deliver.seq,
      cursor: deliver.cursor,
    });
  }
  if (frame.case === 'update') {
    const update = frame.value;
    const { seq, cursor, unseen, unread } = update;
    if (seq <= previous) return stay<K>(again);
    const effects: Effect[] = [
      { do: 'update', update, previous, line },
      { do: 'counts', unseen, unread },
    ];
    return stay<K>(again, effects, { seq, cursor });
  }
  const { sentThrough: seq, cursor, unseen, unread } = frame.value;
  const counts: Effect = { do: 'counts', unseen, unread };
  if (seq < previous) return stay<K>(again, [counts]);
  return stay<K>(again, [{ do: 'position', position: { cursor, seq }, previous, line }, counts], {
    seq,
    cursor,
  });
}
