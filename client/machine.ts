// The client's machine: a pure table of every state and every event; SPEC.md is its norm, and the compiler misses no cell.

import {
  authorize,
  greeted,
  lost,
  open,
  received,
  retried,
  sentAway,
  stay,
  to,
  tokenless,
} from './machine.moves.ts';
import type {
  Event,
  EventKind,
  EventOf,
  Memory,
  Place,
  State,
  StateKind,
  StateOf,
  Step,
  World,
} from './machine.states.ts';

/** What an event does in a state. `to`: the states it can lead to, which is as much as `run` can answer. */
interface Cell<S extends StateKind, E extends EventKind> {
  readonly to: readonly StateKind[];
  run(state: StateOf<S>, event: EventOf<E>, world: World): Step;
}

/** Nothing: the event says nothing new here, or comes late. */
type Ignored = 'ignored';

export type Table = {
  readonly [S in StateKind]: { readonly [E in EventKind]: Cell<S, E> | Ignored };
};

function cell<S extends StateKind, E extends EventKind, K extends StateKind>(
  to: readonly K[],
  run: (state: StateOf<S>, event: EventOf<E>, world: World) => Step<NoInfer<K>>,
): Cell<S, E> {
  return { to, run };
}

export const table: Table = {
  idle: {
    start: cell(['authorizing'], (state) => authorize(state)),
    close: cell(['closed'], (state) => to('closed', state, {})),
    loaded: 'ignored',
    authorized: 'ignored',
    unauthorized: 'ignored',
    hello: 'ignored',
    frame: 'ignored',
    goAway: 'ignored',
    reauthenticate: 'ignored',
    stable: 'ignored',
    ended: 'ignored',
    waited: 'ignored',
  },
  loading: {
    start: 'ignored',
    close: cell(['closed'], (state) => to('closed', state, {})),
    // Whoever was told where to go on from knows it better than the store.
    loaded: cell(['connecting'], (state, { position }, world) =>
      open({ ...state, ...(state.cursor === undefined && position), loaded: true }, world),
    ),
    authorized: 'ignored',
    unauthorized: 'ignored',
    hello: 'ignored',
    frame: 'ignored',
    goAway: 'ignored',
    reauthenticate: 'ignored',
    stable: 'ignored',
    ended: 'ignored',
    waited: 'ignored',
  },
  authorizing: {
    start: 'ignored',
    close: cell(['closed'], (state) => to('closed', state, {}, [{ do: 'hangUp' }])),
    loaded: 'ignored',
    // Whose cursor it is stands in the token.
    authorized: cell(['loading', 'connecting'], (state, _event, world) =>
      state.loaded ? open(state, world) : to('loading', state, {}, [{ do: 'load' }]),
    ),
    unauthorized: cell(['waiting', 'failed'], (state, { failure }, world) =>
      tokenless(state, failure, world),
    ),
    hello: 'ignored',
    frame: 'ignored',
    goAway: 'ignored',
    reauthenticate: 'ignored',
    stable: 'ignored',
    ended: 'ignored',
    waited: 'ignored',
  },
  connecting: {
    start: 'ignored',
    close: cell(['closed'], (state) => to('closed', state, {}, [{ do: 'hangUp' }])),
    loaded: 'ignored',
    authorized: 'ignored',
    unauthorized: 'ignored',
    hello: cell(['open'], (state, { hello }) => greeted(state, hello)),
    // What stands before Hello has no place on a line; what comes after it would be taken for the next.
    frame: cell(['waiting'], (state, _event, world) => {
      const failure = {
        remedy: 'wait',
        reason: 'NO_HELLO',
        message: 'The stream began without Hello.',
      } as const;
      const next = retried(state, failure, world);
      return { state: next.state, effects: [{ do: 'hangUp' }, ...next.effects] };
    }),
    goAway: cell(['waiting'], (state, event, world) => {
      const { ms, changes } = sentAway(state, event, world);
      return to('waiting', state, {}, [{ do: 'hangUp' }, { do: 'wait', ms }], changes);
    }),
    reauthenticate: 'ignored',
    stable: 'ignored',
    ended: cell(['waiting', 'failed'], (state, { failure }, world) => lost(state, failure, world)),
    waited: 'ignored',
  },
  open: {
    start: 'ignored',
    close: cell(['closed'], (state) => to('closed', state, {}, [{ do: 'hangUp' }])),
    loaded: 'ignored',
    authorized: 'ignored',
    unauthorized: 'ignored',
    hello: 'ignored',
    frame: cell(['open'], (state, event) => received<'open'>(state, event)),
    goAway: cell(['leaving'], (state, event, world) => {
      const { ms, changes } = sentAway(state, event, world);
      const { sessionId } = state;
      return to('leaving', state, { sessionId }, [{ do: 'flushAcks' }, { do: 'wait', ms }], changes);
    }),
    reauthenticate: cell(['open'], (state) => stay<'open'>(state, [{ do: 'swapToken' }])),
    stable: cell(['open'], (state) => ({
      state: { ...state, stable: true, failures: 0, moves: 0 },
      effects: [],
    })),
    ended: cell(['waiting', 'failed'], (state, { failure }, world) => lost(state, failure, world)),
    waited: 'ignored',
  },
  leaving: {
    start: 'ignored',
    close: cell(['closed'], (state) => to('closed', state, {}, [{ do: 'hangUp' }, { do: 'stopWaiting' }])),
    loaded: 'ignored',
    authorized: 'ignored',
    unauthorized: 'ignored',
    hello: 'ignored',
    frame: cell(['leaving'], (state, event) => received<'leaving'>(state, event)),
    goAway: 'ignored',
    reauthenticate: 'ignored',
    stable: 'ignored',
    // However it ends: the edge said before when to come back.
    ended: cell(['waiting'], (state) => to('waiting', state, {})),
    waited: cell(['authorizing'], (state) => {
      const next = authorize(state);
      return { state: next.state, effects: [{ do: 'hangUp' }, ...next.effects] };
    }),
  },
  waiting: {
    start: 'ignored',
    close: cell(['closed'], (state) => to('closed', state, {}, [{ do: 'stopWaiting' }])),
    loaded: 'ignored',
    authorized: 'ignored',
    unauthorized: 'ignored',
    hello: 'ignored',
    frame: 'ignored',
    goAway: 'ignored',
    reauthenticate: 'ignored',
    stable: 'ignored',
    ended: 'ignored',
    waited: cell(['authorizing'], (state) => authorize(state, state.refusals > 0)),
  },
  failed: {
    start: cell(['authorizing'], (state) => authorize({ ...state, refusals: 0, failures: 0 }, true)),
    close: cell(['closed'], (state) => to('closed', state, {})),
    loaded: 'ignored',
    authorized: 'ignored',
    unauthorized: 'ignored',
    hello: 'ignored',
    frame: 'ignored',
    goAway: 'ignored',
    reauthenticate: 'ignored',
    stable: 'ignored',
    ended: 'ignored',
    waited: 'ignored',
  },
  closed: {
    start: 'ignored',
    close: 'ignored',
    loaded: 'ignored',
    authorized: 'ignored',
    unauthorized: 'ignored',
    hello: 'ignored',
    frame: 'ignored',
    goAway: 'ignored',
    reauthenticate: 'ignored',
    stable: 'ignored',
    ended: 'ignored',
    waited: 'ignored',
  },
};

/** `urls`: at least one. `place`: where to go on from, instead of from what is stored. */
export const initial = (urls: readonly string[], mayRedirect: boolean, place?: Place): State => {
  const memory: Memory = {
    urls,
    urlAt: 0,
    edge: undefined,
    mayRedirect,
    stayUntilMs: 0,
    loaded: false,
    cursor: place?.cursor,
    seq: place?.seq ?? 0,
    line: place?.line ?? 1,
    cursorLost: '',
    failures: 0,
    refusals: 0,
    moves: 0,
  };
  return to('idle', memory, {}).state;
};

/** What the event makes of the state, and what is to be done in the world. Pure, but for the chance in `world`. */
export function step(state: State, event: Event, world: World): Step {
  // One cell of a table whose types pair states with events: the pairing is what a look-up by two keys loses.
  const found = table[state.kind][event.kind] as Cell<StateKind, EventKind> | Ignored;
  return found === 'ignored' ? { state, effects: [] } : found.run(state, event, world);
}
