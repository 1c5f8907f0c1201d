// What the tabs of one user say to one another. Items travel as bytes: a clone of a message is not a message any more.
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { type Activity, DeliverSchema, UpdateSchema } from '../gen/carillon/v1/edge_pb.ts';
import type { Failure } from './failure.ts';
import type { Place, StateKind, Told } from './machine.states.ts';
import type { Run } from './runs.ts';

type Item = Extract<Told, { do: 'item' }>;
type Update = Extract<Told, { do: 'update' }>;

/** An item or an update, with its place in the sequence. */
export type Carried =
  | (Omit<Item, 'deliver'> & { readonly seq: number; readonly bytes: Uint8Array })
  | (Omit<Update, 'update'> & { readonly seq: number; readonly bytes: Uint8Array });

export type Relayed = Carried | Exclude<Told, { do: 'item' | 'update' | 'state' }>;

export type TabMessage =
  /** I am here, and do not lead. */
  | { readonly say: 'here'; readonly tab: string; readonly activity: Activity }
  /** I lead, from this place on. `to`: one tab; empty: all, who then say that they are here. */
  | {
      readonly say: 'lead';
      readonly to: string;
      readonly state: StateKind;
      readonly place: Place | undefined;
      readonly counts: { readonly unseen: number; readonly unread: number } | undefined;
    }
  | { readonly say: 'state'; readonly state: StateKind }
  | { readonly say: 'relay'; readonly told: Relayed }
  | { readonly say: 'acked'; readonly line: number; readonly runs: readonly Run[] }
  /** I miss what came after this place. */
  | { readonly say: 'missed'; readonly tab: string; readonly line: number; readonly seq: number }
  /** All of it; or too much was missed, and this is where it goes on. */
  | { readonly say: 'recent'; readonly to: string; readonly missed: readonly Carried[] | Place }
  | { readonly say: 'mark'; readonly tab: string; readonly id: number; readonly request: Uint8Array }
  | {
      readonly say: 'marked';
      readonly to: string;
      readonly id: number;
      readonly answer: Uint8Array | Failure;
    }
  /** The app of a follower wants another try. */
  | { readonly say: 'start' };

export function relayed(told: Exclude<Told, { do: 'state' }>): Relayed {
  if (told.do === 'item') {
    const { deliver, previous, line } = told;
    return { do: 'item', previous, line, seq: deliver.seq, bytes: toBinary(DeliverSchema, deliver) };
  }
  if (told.do === 'update') {
    const { update, previous, line } = told;
    return { do: 'update', previous, line, seq: update.seq, bytes: toBinary(UpdateSchema, update) };
  }
  return told;
}

export function unpacked(carried: Carried): Item | Update {
  const { previous, line, bytes } = carried;
  return carried.do === 'item'
    ? { do: 'item', deliver: fromBinary(DeliverSchema, bytes), previous, line }
    : { do: 'update', update: fromBinary(UpdateSchema, bytes), previous, line };
}
