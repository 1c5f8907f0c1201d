// What a client says of one of its streams, at whichever edge the call landed: here it is done, elsewhere a router brings it there.
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { edgeOfSession, type Signal } from '../cluster/edge-link.ts';
import type { Ownership } from '../cluster/ownership.ts';
import { ReauthenticatedSchema, SignalOutcome, SignalSchema } from '../gen/carillon/v1/edge_link_pb.ts';
import type {
  ReauthenticateRequest,
  ReauthenticateResponse,
  SetActivityRequest,
} from '../gen/carillon/v1/edge_pb.ts';
import { CarillonError } from '../runtime/errors.ts';
import type { Principal } from '../runtime/identity.ts';
import type { Ids } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import { delayMs } from './admission.ts';
import { applySignal } from './edge-port.ts';
import type { Caller, Hub } from './hub.ts';
import type { Signals } from './signals.ts';

export interface SessionCallsOptions {
  hub: Hub;
  signals: Signals;
  ownership: Pick<Ownership, 'member'>;
  node: string;
  ids: Ids;
}

export class SessionCalls {
  readonly #options: SessionCallsOptions;

  constructor(options: SessionCallsOptions) {
    this.#options = options;
  }

  /** SESSION_UNKNOWN: it is over, or not the caller's. EDGE_UNREACHABLE, with a delay: nobody could ask. */
  async setActivity(caller: Caller, { sessionId, activity }: SetActivityRequest): Promise<void> {
    await this.#say(caller, sessionId, { case: 'activity', value: activity });
  }

  /** The stream goes on with the token of this call, whose user and device are those of the stream. Fails as `setActivity` does. */
  async reauthenticate(
    caller: Principal,
    { sessionId }: ReauthenticateRequest,
  ): Promise<Pick<ReauthenticateResponse, 'tokenExpiry'>> {
    const { issuedMs, expiresMs } = caller;
    const tokenExpiry = expiresMs === undefined ? undefined : timestampFromMs(expiresMs);
    const value = create(ReauthenticatedSchema, { tokenExpiry, issuedAt: timestampFromMs(issuedMs) });
    await this.#say(caller, sessionId, { case: 'reauthenticated', value });
    return { tokenExpiry };
  }

  /** What was acknowledged counts without its stream: that it is told only spares a drain its waiting. */
  acknowledged(caller: Caller, sessionId: string, upto: number): void {
    const { hub, signals } = this.#options;
    const signal = signalOf(caller, sessionId, { case: 'acknowledged', value: upto });
    if (hub.isOwn(sessionId)) applySignal(hub, signal);
    else if (this.#isElsewhere(sessionId)) void signals.send(signal);
  }

  /** An edge of an earlier start is this one's past: its sessions are over. */
  #isElsewhere(sessionId: string): boolean {
    const edge = edgeOfSession(sessionId);
    return edge !== '' && edge !== this.#options.node;
  }

  /** The start of the edge that the session names is still a member. */
  #mayStand(sessionId: string): boolean {
    const edge = edgeOfSession(sessionId);
    const member = this.#options.ownership.member(edge);
    return member !== undefined && sessionId.startsWith(`${edge}.${member.incarnation}.`);
  }

  async #say(caller: Caller, sessionId: string, what: Signal['what']): Promise<void> {
    const { hub, signals, ids } = this.#options;
    const signal = signalOf(caller, sessionId, what);
    let outcome: SignalOutcome = SignalOutcome.NO_SESSION;
    if (hub.isOwn(sessionId)) outcome = applySignal(hub, signal);
    else if (this.#isElsewhere(sessionId)) outcome = await signals.send(signal);
    const lost = outcome === SignalOutcome.UNREACHABLE && !this.#mayStand(sessionId);
    if (lost || outcome === SignalOutcome.NO_SESSION) throw new CarillonError('SESSION_UNKNOWN');
    if (outcome !== SignalOutcome.DONE)
      throw new CarillonError('EDGE_UNREACHABLE', undefined, {
        retryAfterMs: delayMs(limits.signalRetryMs, ids),
      });
  }
}

const signalOf = ({ tenant, userId, deviceId }: Caller, sessionId: string, what: Signal['what']): Signal =>
  create(SignalSchema, { tenant, userId, deviceId, sessionId, what });
