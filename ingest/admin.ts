// The service for operators: users, providers, dead letters and the sandbox, each read from the store it lives in.
import { timestampFromDate, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { ServiceImpl } from '@connectrpc/connect';
import type { Handoff } from '../eventlog/event-log.ts';
import { AdminService } from '../gen/carillon/v1/admin_pb.ts';
import { Channel } from '../gen/carillon/v1/notification_pb.ts';
import { CarillonError } from '../runtime/errors.ts';
import { DEFAULT_TENANT } from '../runtime/identity.ts';
import { isUuid } from '../runtime/ids.ts';
import { type Mount, mount } from '../runtime/mount.ts';
import { invalidRequest } from '../runtime/validation.ts';
import type { Database } from '../storage/database.ts';
import { listDeadLetters } from '../storage/dead-letters.ts';
import { listProviderReports } from '../storage/provider-reports.ts';
import { listSandboxMessages } from '../storage/sandbox.ts';
import { getUser, putUser } from '../storage/users.ts';
import { replayDeadLetters } from './replay.ts';
import { checkedUser } from './user-rules.ts';

export interface AdminOptions {
  db: Database;
  handoff: Handoff;
}

const PAGE = 100;

function adminService({ db, handoff }: AdminOptions): ServiceImpl<typeof AdminService> {
  const tenant = DEFAULT_TENANT;
  return {
    async putUser({ user }) {
      await putUser(db, tenant, checkedUser(user));
      return {};
    },

    async getUser({ userId }) {
      const user = await getUser(db, tenant, userId);
      if (!user) throw new CarillonError('USER_NOT_FOUND');
      return { user };
    },

    async listProviders() {
      const reports = await listProviderReports(db);
      return {
        providers: reports.map(({ provider, channel, breaker, node, reportedAtMs }) => ({
          name: provider,
          channel,
          breaker,
          node,
          reportedAt: timestampFromMs(reportedAtMs),
        })),
      };
    },

    async listDeadLetters({ pageSize, pageToken }) {
      if (pageToken !== '' && !isUuid(pageToken))
        throw invalidRequest([{ field: 'page_token', description: 'is not one that Carillon gave out' }]);
      const { letters, nextPageToken } = await listDeadLetters(db, tenant, {
        pageSize: pageSize || PAGE,
        pageToken,
      });
      return {
        deadLetters: letters.map(({ createdAt, replayedAt, ...letter }) => ({
          id: letter.id,
          notificationId: letter.notificationId,
          userId: letter.userId,
          channel: letter.channel,
          lane: letter.lane,
          source: letter.source,
          error: letter.error,
          createdAt: timestampFromDate(createdAt),
          replayedAt: replayedAt && timestampFromDate(replayedAt),
        })),
        nextPageToken,
      };
    },

    async replayDeadLetters({ ids }) {
      return { replayed: await replayDeadLetters(db, handoff, tenant, ids) };
    },

    async listSandboxMessages({ channel, userId, limit }) {
      const messages = await listSandboxMessages(db, {
        tenant,
        count: limit || PAGE,
        ...(channel !== Channel.UNSPECIFIED && { channel }),
        ...(userId !== '' && { userId }),
      });
      return {
        messages: messages.map(({ atMs, ...message }) => ({ ...message, at: timestampFromMs(atMs) })),
      };
    },
  };
}

/** AdminService. Requests are validated before they come here, by the mount. */
export const adminMount = (options: AdminOptions): Mount => mount(AdminService, adminService(options));
