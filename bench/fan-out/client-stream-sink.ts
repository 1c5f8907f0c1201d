// What the lean clients share: the request they make, and whom they tell what comes.
import { create, toBinary } from '@bufbuild/protobuf';
import { EdgeService, SubscribeRequestSchema } from '../../gen/carillon/v1/edge_pb.ts';

export interface StreamSink {
  opened(): void;
  messages(count: number): void;
  bytes(count: number): void;
  failed(why: string): void;
  readonly onMessage?: (message: Buffer) => void;
}

export const subscribePath = `/${EdgeService.typeName}/${EdgeService.method.subscribe.name}`;

const message = toBinary(SubscribeRequestSchema, create(SubscribeRequestSchema, { deviceId: 'bench' }));
/** One enveloped SubscribeRequest. */
export const request: Buffer = Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]);
