// Opens a client's stream: whose it is, whether there is room, whether here is right; only then is anything read.

import { EdgeService, type SubscribeRequest, SubscribeRequestSchema } from '../gen/carillon/v1/edge_pb.ts';
import { checkAccess } from '../runtime/access.ts';
import type { UserAuthenticator } from '../runtime/authenticator.ts';
import { CarillonError } from '../runtime/errors.ts';
import type { Principal } from '../runtime/identity.ts';
import type { Ids } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { validate } from '../runtime/validation.ts';
import { type Admission, delayMs } from './admission.ts';
import { activityAttention } from './attention.ts';
import { clientAddress, type TrustedProxies } from './client-address.ts';
import { parseCursor } from './cursor.ts';
import type { Departures } from './departures.ts';
import { goAwayFrame } from './frames.ts';
import type { Hub } from './hub.ts';
import type { Session } from './session.ts';
import type { ClientStream, SubscribeHandler } from './wire/client-stream.ts';

export interface SubscribeOptions {
  hub: Hub;
  admission: Admission;
  authenticator: UserAuthenticator;
  departures: Pick<Departures, 'elsewhere'>;
  proxies: TrustedProxies;
  ids: Ids;
  metrics: Pick<Metrics, 'edgeRefusedTotal' | 'edgeGoAwaysTotal'>;
  log: Log;
}

export function subscribeHandler(options: SubscribeOptions): SubscribeHandler {
  const { hub, admission, authenticator, proxies, metrics, log } = options;
  return (request, stream, headers) => {
    let address: string | undefined;
    const refuse = (error: unknown) => {
      if (error instanceof CarillonError && error.reason === 'UNAUTHENTICATED') admission.badToken(address);
      if (!(error instanceof CarillonError)) log.error({ err: error }, 'a stream could not be opened');
      const own =
        error instanceof CarillonError ? error : new CarillonError('INTERNAL', undefined, { cause: error });
      metrics.edgeRefusedTotal.add(1, { reason: own.reason });
      stream.end(own);
    };
    try {
      address = clientAddress(stream.remoteAddress, headers.get('x-forwarded-for'), proxies);
      admission.knock(address, hub.streams);
      const principal = authenticator.authenticate(headers);
      if (principal instanceof Promise)
        principal.then((known) => open(options, request, stream, known, address)).catch(refuse);
      else open(options, request, stream, principal, address);
    } catch (error) {
      refuse(error);
    }
  };
}

/** Opens the stream, unless it is over by now; throws when it may not be. */
function open(
  { hub, admission, authenticator, departures, ids, metrics }: SubscribeOptions,
  request: SubscribeRequest,
  stream: ClientStream,
  principal: Principal,
  address: string | undefined,
): void {
  if (stream.over) return;
  checkAccess(EdgeService.method.subscribe, principal, request);
  validate(SubscribeRequestSchema, request);
  authenticator.checkDevice(principal, request.deviceId);
  const { tenant, userId, issuedMs, expiresMs } = principal;
  const cursor = request.cursor === undefined ? undefined : parseCursor(request.cursor);
  const user = { tenant, userId };
  const sessions = hub.sessionsOf(user);
  const place = admission.admit({
    streams: hub.streams,
    ofUser: sessions.length,
    address,
    resumes: cursor !== undefined,
  });
  const elsewhere = request.mayRedirect ? departures.elsewhere(user) : undefined;
  if (elsewhere !== undefined) {
    place?.leave();
    metrics.edgeGoAwaysTotal.add(1, { reason: 'REDIRECTED' });
    stream.send(goAwayFrame({ reason: 'MOVED', reconnectAfter: {}, edge: elsewhere }));
    stream.end();
    return;
  }
  const deviceId = request.deviceId || principal.deviceId;
  if (deviceId !== '') endOldest(sessions, deviceId, ids);
  hub.open(
    {
      user,
      deviceId,
      attention: activityAttention(request.activity),
      mayRedirect: request.mayRedirect,
      cursor,
      issuedMs,
      expiresMs,
      place,
    },
    stream,
  );
}

/** A device has room for one more stream: past its bound the newer takes over from the oldest, which is likely to be gone. */
function endOldest(sessions: readonly Session[], deviceId: string, ids: Ids): void {
  const same = sessions.filter((session) => session.deviceId === deviceId && !session.over);
  for (const oldest of same.slice(limits.streamsPerDeviceCount - 1))
    oldest.end(
      new CarillonError('TOO_MANY_STREAMS', 'This device has newer streams.', {
        retryAfterMs: delayMs(limits.deviceRetryMs, ids),
      }),
    );
}
