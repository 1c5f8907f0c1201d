// The calls of EdgeService that are answered once, each for the caller's own inbox, devices and streams only.
import { create } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import type { Handoff } from '../eventlog/event-log.ts';
import { ChangedSchema } from '../gen/carillon/v1/edge_link_pb.ts';
import { EdgeService } from '../gen/carillon/v1/edge_pb.ts';
import type { UserAuthenticator } from '../runtime/authenticator.ts';
import { principalOf } from '../runtime/identity.ts';
import { limits } from '../runtime/limits.ts';
import { type Mount, mount } from '../runtime/mount.ts';
import type { Database } from '../storage/database.ts';
import { registerDevice } from '../storage/devices.ts';
import { listInbox } from '../storage/inbox-list.ts';
import { markInbox } from '../storage/inbox-marks.ts';
import { ack } from './ack.ts';
import type { AckQueue } from './ack-queue.ts';
import type { Hub } from './hub.ts';
import { listInboxPage } from './list-inbox.ts';
import { type Marking, markItems } from './mark-inbox.ts';
import type { Reports } from './reports.ts';
import type { SessionCalls } from './session-calls.ts';
import type { Signals } from './signals.ts';

export interface EdgeServiceOptions {
  hub: Hub;
  acks: AckQueue;
  reports: Reports;
  calls: SessionCalls;
  signals: Signals;
  authenticator: UserAuthenticator;
  db: Database;
  handoff: Handoff;
}

/** Without Subscribe, which the wire serves. Requests are validated before they come here, by the mount. */
function edgeService(options: EdgeServiceOptions): Partial<ServiceImpl<typeof EdgeService>> {
  const { hub, signals, calls, reports, authenticator, db, handoff } = options;
  const listing = { hub, list: listInbox.bind(undefined, db) };
  const marking: Marking = {
    reports,
    mark: markInbox.bind(undefined, db, handoff),
    changed(user) {
      const changed = [create(ChangedSchema, user)];
      hub.changed(changed);
      signals.changed(changed);
    },
  };
  return {
    ack: (request, context) => ack(options, principalOf(context), request),
    listInbox: (request, context) => listInboxPage(listing, principalOf(context), request),
    markInbox: (request, context) => markItems(marking, principalOf(context), request),
    async registerDevice({ deviceId, platform, token }, context) {
      const principal = principalOf(context);
      authenticator.checkDevice(principal, deviceId);
      const { tenant, userId } = principal;
      await registerDevice(
        db,
        { tenant, userId, deviceId, platform: Number(platform), token },
        limits.devicesPerUserCount,
      );
      return {};
    },
    async setActivity(request, context) {
      await calls.setActivity(principalOf(context), request);
      return {};
    },
    reauthenticate: (request, context) => calls.reauthenticate(principalOf(context), request),
  };
}

export const edgeMount = (options: EdgeServiceOptions): Mount =>
  mount(EdgeService, edgeService(options), { authenticator: options.authenticator });
