// The calls of EdgeService that are answered once, each for the caller's own inbox and devices only.
import type { ServiceImpl } from '@connectrpc/connect';
import { EdgeService } from '../gen/carillon/v1/edge_pb.ts';
import { identityOf } from '../runtime/identity.ts';
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
import { markItems } from './mark-inbox.ts';
import type { Reports } from './reports.ts';

export interface EdgeServiceOptions {
  hub: Hub;
  acks: AckQueue;
  reports: Reports;
  db: Database;
}

/** Without Subscribe, which the wire serves. Requests are validated before they come here, by the mount. */
function edgeService(options: EdgeServiceOptions): Partial<ServiceImpl<typeof EdgeService>> {
  const { db } = options;
  const listing = { ...options, list: listInbox.bind(undefined, db) };
  const marking = { ...options, mark: markInbox.bind(undefined, db) };
  return {
    ack: (request, context) => ack(options, identityOf(context.requestHeader), request),
    listInbox: (request, context) => listInboxPage(listing, identityOf(context.requestHeader), request),
    markInbox: (request, context) => markItems(marking, identityOf(context.requestHeader), request),
    async registerDevice({ deviceId, platform, token }, context) {
      const identity = identityOf(context.requestHeader);
      await registerDevice(
        db,
        { ...identity, deviceId, platform: Number(platform), token },
        limits.devicesPerUserCount,
      );
      return {};
    },
  };
}

export const edgeMount = (options: EdgeServiceOptions): Mount => mount(EdgeService, edgeService(options));
