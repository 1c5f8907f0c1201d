// Opens a client's stream: who it is, whether the request and its cursor are sound, whether there is room; only then is anything read.
import { SubscribeRequestSchema } from '../gen/carillon/v1/edge_pb.ts';
import { CarillonError } from '../runtime/errors.ts';
import { identityOf } from '../runtime/identity.ts';
import type { Log } from '../runtime/log.ts';
import { validate } from '../runtime/validation.ts';
import type { Admission } from './admission.ts';
import { parseCursor } from './cursor.ts';
import type { Hub } from './hub.ts';
import type { SubscribeHandler } from './wire/client-stream.ts';

export function subscribeHandler(hub: Hub, admission: Admission, log: Log): SubscribeHandler {
  return (request, stream) => {
    try {
      const { tenant, userId } = identityOf(stream.headers);
      validate(SubscribeRequestSchema, request);
      const cursor = request.cursor === undefined ? undefined : parseCursor(request.cursor);
      admission.admit({ streams: hub.streams, ofUser: hub.streamsOf(tenant, userId) });
      hub.open(tenant, userId, cursor, stream);
    } catch (error) {
      if (!(error instanceof CarillonError)) log.error({ err: error }, 'a stream could not be opened');
      stream.end(
        error instanceof CarillonError ? error : new CarillonError('INTERNAL', undefined, { cause: error }),
      );
    }
  };
}
