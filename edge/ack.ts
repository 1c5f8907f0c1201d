// A client says what it has. Only this counts as delivered, and the answer comes after the commit.
import type { AckRequest, AckResponse } from '../gen/carillon/v1/edge_pb.ts';
import { CarillonError } from '../runtime/errors.ts';
import type { Identity, Principal } from '../runtime/identity.ts';
import { limits } from '../runtime/limits.ts';
import { validTraceparent } from '../runtime/tracing.ts';
import { invalidRequest } from '../runtime/validation.ts';
import type { AckRange } from '../storage/acks.ts';
import type { AckQueue } from './ack-queue.ts';
import { MAX_SEQ } from './cursor.ts';
import type { Hub } from './hub.ts';
import type { Reports } from './reports.ts';
import type { SessionCalls } from './session-calls.ts';

/** Ranges of one ticket, so that a long list of extras does not fill a whole statement. */
const TICKET_RANGES = 100;

/** (after, upto] in slices, and the extras with neighbours joined. */
function ackRanges(
  { tenant, userId }: Identity,
  request: Pick<AckRequest, 'after' | 'upto' | 'extra'>,
): AckRange[] {
  const ranges: AckRange[] = [];
  const add = (after: number, upto: number) => {
    for (let from = after; from < upto; from += limits.ackSliceCount)
      ranges.push({ tenant, userId, after: from, upto: Math.min(upto, from + limits.ackSliceCount) });
  };
  add(request.after, request.upto);
  let from = -1;
  let upto = -1;
  for (const seq of [...request.extra].sort((a, b) => a - b)) {
    if (seq === 0 || seq === upto || (seq > request.after && seq <= request.upto)) continue;
    if (seq !== upto + 1) {
      if (upto > 0) add(from, upto);
      from = seq - 1;
    }
    upto = seq;
  }
  if (upto > 0) add(from, upto);
  return ranges;
}

/** By what one statement takes, so that a long ack waits its turn like many short ones. */
export function ackTickets(
  user: Identity,
  request: Pick<AckRequest, 'after' | 'upto' | 'extra'>,
): AckRange[][] {
  const tickets: AckRange[][] = [];
  let room = 0;
  for (const range of ackRanges(user, request)) {
    const positions = range.upto - range.after;
    if (room < positions || (tickets.at(-1)?.length ?? 0) >= TICKET_RANGES) {
      tickets.push([]);
      room = limits.ackBatchPositionsCount;
    }
    tickets.at(-1)?.push(range);
    room -= positions;
  }
  return tickets;
}

function check({ after, upto, extra }: AckRequest): void {
  if (upto > MAX_SEQ || extra.some((seq) => seq > MAX_SEQ))
    throw invalidRequest([{ field: 'upto', description: 'is past every position there can be' }]);
  if (upto - after > limits.ackSpanCount)
    throw invalidRequest([{ field: 'upto', description: `is more than ${limits.ackSpanCount} past after` }]);
}

/** SESSION_UNKNOWN when the session is another user's; INVALID_REQUEST when it acknowledges what was not sent on it. */
export async function ack(
  { hub, acks, reports, calls }: { hub: Hub; acks: AckQueue; reports: Reports; calls: SessionCalls },
  caller: Principal,
  request: AckRequest,
): Promise<Pick<AckResponse, 'acknowledged'>> {
  check(request);
  const session = hub.session(request.sessionId, caller);
  if (!session && hub.holds(request.sessionId)) throw new CarillonError('SESSION_UNKNOWN');
  if (session && request.upto > Math.max(request.after, session.sentThrough))
    throw invalidRequest([{ field: 'upto', description: 'is past what was sent on this stream' }]);
  const tickets = ackTickets(caller, request);
  const reported = (await Promise.all(tickets.map((ranges) => acks.add(ranges)))).flat();
  if (request.sessionId !== '') calls.acknowledged(caller, request.sessionId, request.upto);
  const traceparents = request.traceparents.map(validTraceparent).filter((text) => text !== undefined);
  reports.acked(reported, traceparents);
  return { acknowledged: reported.length };
}
