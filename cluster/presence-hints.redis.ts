// What can be told from the hints in Redis: who is where, who may be back, and whether somebody may be missing. Pure.
import { limits } from '../runtime/limits.ts';
import type { Whereabouts } from './presence.ts';
import { EDGE_FIELD, GONE } from './presence-script.redis.ts';

interface Lease {
  incarnation: string;
  /** Since when this incarnation holds the lease. */
  sinceMs: number;
  renewedMs: number;
  /** The epoch in which it has said all its users; `gone` when it has withdrawn. */
  said: string;
}

/** All times by Redis' clock. */
export interface Edges {
  nowMs: number;
  /** Undefined when the store has forgotten. */
  epoch: { name: string; sinceMs: number } | undefined;
  /** The latest renewal of any edge. */
  atMs: number;
  leases: ReadonlyMap<string, Lease>;
}

/** What READ answers: field, value, field, value. */
export function pairs(flat: readonly string[]): [string, string][] {
  const found: [string, string][] = [];
  for (let at = 0; at + 1 < flat.length; at += 2) found.push([flat[at] ?? '', flat[at + 1] ?? '']);
  return found;
}

export function readEdges(nowMs: number, flat: readonly string[]): Edges {
  const edges: Edges & { leases: Map<string, Lease> } = {
    nowMs,
    epoch: undefined,
    atMs: 0,
    leases: new Map(),
  };
  for (const [field, value] of pairs(flat)) {
    const [name = '', sinceMs, renewedMs, said = ''] = value.split(' ');
    if (field === 'epoch') edges.epoch = { name, sinceMs: Number(sinceMs) };
    else if (field === 'at') edges.atMs = Number(value);
    else if (field.startsWith(EDGE_FIELD))
      edges.leases.set(field.slice(EDGE_FIELD.length), {
        incarnation: name,
        sinceMs: Number(sinceMs),
        renewedMs: Number(renewedMs),
        said,
      });
  }
  return edges;
}

/** No edge has come for a whole lease: none could, or none is left. */
const isSilent = ({ nowMs, atMs }: Edges): boolean => nowMs < atMs || nowMs - atMs > limits.presenceLeaseMs;

/** The latest moment at which the edge certainly had its lease; one that could not renew is not to blame. */
const renewedMs = ({ epoch }: Edges, lease: Lease): number =>
  Math.max(lease.renewedMs, lease.said === GONE ? 0 : (epoch?.sinceMs ?? 0));

/** Leases run in the time in which they can be renewed: while all are silent it stands still. */
function holds(edges: Edges, lease: Lease): boolean {
  if (lease.said === GONE) return false;
  const byMs = isSilent(edges) ? edges.atMs : edges.nowMs;
  return byMs - renewedMs(edges, lease) <= limits.presenceLeaseMs;
}

/**
 * Whether whoever is here is found. `seeingMs`: since when this reader sees all that is said. Not before a whole lease has passed
 * since then, and since the epoch began: each edge that lives has renewed by then, and says whether it has said all.
 */
export function isKnown(edges: Edges, seeingMs: number): boolean {
  const { epoch, nowMs, leases, atMs } = edges;
  if (!epoch || nowMs - Math.max(epoch.sinceMs, seeingMs) < limits.presenceLeaseMs) return false;
  const holding = [...leases.values()].filter((lease) => holds(edges, lease));
  // After the longest linger they are dead, all of them, rather than unable to say so.
  if (isSilent(edges)) return holding.length === 0 || nowMs - atMs > limits.lingerMaxMs;
  return holding.every(({ said }) => said === epoch.name);
}

/** Milliseconds since the edge renewed its lease; undefined when it has run out. */
export function leaseAgeMs({ nowMs, leases }: Edges, edge: string): number | undefined {
  const lease = leases.get(edge);
  if (!lease || lease.said === GONE) return undefined;
  const ageMs = Math.max(0, nowMs - lease.renewedMs);
  return ageMs <= limits.presenceLeaseMs ? ageMs : undefined;
}

/** Where one user is, by `[edge, <incarnation>:<generation>:<state>]`; `vanishedAtMs` by Redis' clock. */
export function whereaboutsOf(
  entries: readonly (readonly [string, string])[],
  edges: Edges,
): Omit<Whereabouts, 'known'> {
  const here: string[] = [];
  let foreground = false;
  // Who was here before the store forgot, and is not found, vanished when it did.
  let vanishedMs = edges.epoch?.sinceMs ?? 0;
  let closedMs = 0;
  for (const [edge, value] of entries) {
    const [incarnation = '', , state = ''] = value.split(':');
    const atMs = Number(state.slice(1));
    const lease = edges.leases.get(edge);
    if (state.startsWith('c')) closedMs = Math.max(closedMs, atMs);
    else if (state.startsWith('v')) vanishedMs = Math.max(vanishedMs, atMs);
    else if (!lease) continue;
    // The edge was started anew since, and its users are on their way back.
    else if (lease.incarnation !== incarnation) vanishedMs = Math.max(vanishedMs, lease.sinceMs);
    else if (!holds(edges, lease)) vanishedMs = Math.max(vanishedMs, renewedMs(edges, lease));
    else {
      here.push(edge);
      foreground ||= state === 'f';
    }
  }
  const lingers =
    here.length === 0 && closedMs <= vanishedMs && edges.nowMs - vanishedMs <= limits.lingerMaxMs;
  return { edges: here, foreground, vanishedAtMs: lingers ? vanishedMs : undefined };
}
