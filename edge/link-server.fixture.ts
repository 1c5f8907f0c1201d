// An edge's link port as it is on loopback: whoever reaches it may open a link.
import type { EdgePort } from '../cluster/edge-link.ts';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { linkAuthenticator } from '../runtime/link-token.ts';
import { silentLog } from '../runtime/log.ts';
import type { Mount } from '../runtime/mount.ts';
import { linkMount } from './link-server.ts';

export const openLinkMount = (edge: EdgePort, clock: Clock = systemClock): Mount =>
  linkMount({ edge, clock, log: silentLog, authenticator: linkAuthenticator({ nowMs: () => clock.now() }) });
