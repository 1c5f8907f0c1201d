// Where a client's items come from: a stream of its own, or the tab that holds one for all.
import type { MessageInitShape } from '@bufbuild/protobuf';
import type {
  Activity,
  ListInboxRequestSchema,
  ListInboxResponse,
  MarkInboxRequestSchema,
  MarkInboxResponse,
} from '../gen/carillon/v1/edge_pb.ts';
import type { HandledItem } from './acks.ts';
import type { Position, StateKind } from './machine.states.ts';

export type ListInboxInit = MessageInitShape<typeof ListInboxRequestSchema>;
export type MarkInboxInit = MessageInitShape<typeof MarkInboxRequestSchema>;

export interface Source {
  readonly state: StateKind;
  start(): void;
  /** Ends for good, any number of times. */
  close(): Promise<void>;
  setActivity(activity: Activity): void;
  /** The app has all up to this position of the line; `item`: what it was, unless there is nothing to acknowledge. */
  handled(position: Position, line: number, item: HandledItem | undefined): void;
  /** Throws ClientError. */
  listInbox(request: ListInboxInit): Promise<ListInboxResponse>;
  /** Throws ClientError. */
  mark(request: MarkInboxInit): Promise<MarkInboxResponse>;
}
