// What the lean clients share: the request they make, and whom they tell what comes.
import { create, toBinary } from '@bufbuild/protobuf';
import { EdgeService, SubscribeRequestSchema } from '../../gen/carillon/v1/edge_pb.ts';

/** Whose stream it is, and where it resumes. */
export interface Caller {
  readonly token: string;
  readonly cursor: string | undefined;
}

export interface StreamSink {
  /** The first message is here. */
  opened(): void;
  messages(count: number): void;
  bytes(count: number): void;
  failed(why: string): void;
  readonly onMessage?: (message: Buffer) => void;
}

export const subscribePath = `/${EdgeService.typeName}/${EdgeService.method.subscribe.name}`;

const ENVELOPE_BYTES = 5;

function enveloped(cursor: string | undefined): Buffer {
  const message = toBinary(
    SubscribeRequestSchema,
    create(SubscribeRequestSchema, { deviceId: 'bench', ...(cursor !== undefined && { cursor }) }),
  );
  const head = Buffer.alloc(ENVELOPE_BYTES);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

let lastCursor: string | undefined;
let lastRequest = enveloped(undefined);

/** One enveloped SubscribeRequest. */
export function requestOf(cursor: string | undefined): Buffer {
  if (cursor !== lastCursor) lastRequest = enveloped(cursor);
  lastCursor = cursor;
  return lastRequest;
}
