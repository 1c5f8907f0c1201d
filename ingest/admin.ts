// The service for operators and set-up: each method for what belongs to the caller's tenant.
import { timestampFromDate, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { ServiceImpl } from '@connectrpc/connect';
import type { Handoff } from '../eventlog/event-log.ts';
import { AdminService } from '../gen/carillon/v1/admin_pb.ts';
import { Channel } from '../gen/carillon/v1/notification_pb.ts';
import type { Authenticator } from '../runtime/authenticator.ts';
import { CarillonError } from '../runtime/errors.ts';
import { principalOf } from '../runtime/identity.ts';
import { isUuid } from '../runtime/ids.ts';
import { type Mount, mount } from '../runtime/mount.ts';
import type { SignToken } from '../runtime/token-signer.ts';
import { invalidRequest } from '../runtime/validation.ts';
import type { Database } from '../storage/database.ts';
import { listDeadLetters } from '../storage/dead-letters.ts';
import { listSandboxMessages } from '../storage/sandbox.ts';
import { getUser, putUser } from '../storage/users.ts';
import { createApiKey, listApiKeys, revokeApiKey } from './api-keys.ts';
import { deleteCategory, listCategories, putCategory } from './categories.ts';
import {
  deleteProvider,
  listProviders,
  type ProvidersContext,
  putProvider,
  rotateProviderKeys,
  testProvider,
} from './providers.ts';
import { replayDeadLetters } from './replay.ts';
import { createToken, revokeTokens } from './tokens.ts';
import { checkedUser } from './user-rules.ts';

export interface AdminOptions extends ProvidersContext {
  db: Database;
  handoff: Handoff;
  authenticator: Authenticator;
  /** Undefined: this mesh signs no tokens. */
  signToken: SignToken | undefined;
}

const PAGE = 100;

function adminService(options: AdminOptions): ServiceImpl<typeof AdminService> {
  const { db, handoff } = options;
  return {
    async putUser({ user }, call) {
      await putUser(db, principalOf(call).tenant, checkedUser(user));
      return {};
    },

    async getUser({ userId }, call) {
      const user = await getUser(db, principalOf(call).tenant, userId);
      if (!user) throw new CarillonError('USER_NOT_FOUND');
      return { user };
    },

    async listDeadLetters({ pageSize, pageToken }, call) {
      if (pageToken !== '' && !isUuid(pageToken))
        throw invalidRequest([{ field: 'page_token', description: 'is not one that Carillon gave out' }]);
      const { letters, nextPageToken } = await listDeadLetters(db, principalOf(call).tenant, {
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

    async replayDeadLetters({ ids }, call) {
      return { replayed: await replayDeadLetters(db, handoff, principalOf(call).tenant, ids) };
    },

    async listSandboxMessages({ channel, userId, limit }, call) {
      const messages = await listSandboxMessages(db, {
        tenant: principalOf(call).tenant,
        count: limit || PAGE,
        ...(channel !== Channel.UNSPECIFIED && { channel }),
        ...(userId !== '' && { userId }),
      });
      return {
        messages: messages.map(({ atMs, clearedAtMs, ...message }) => ({
          ...message,
          at: timestampFromMs(atMs),
          ...(clearedAtMs !== undefined && { clearedAt: timestampFromMs(clearedAtMs) }),
        })),
      };
    },

    listProviders: (request, call) => listProviders(options, request, call),
    putProvider: (request, call) => putProvider(options, request, call),
    deleteProvider: (request, call) => deleteProvider(options, request, call),
    testProvider: (request, call) => testProvider(options, request, call),
    rotateProviderKeys: () => rotateProviderKeys(options),
    createToken: (request, call) => createToken(options, request, call),
    revokeTokens: (request, call) => revokeTokens(options, request, call),
    createApiKey: (request, call) => createApiKey(options, request, call),
    listApiKeys: (request, call) => listApiKeys(options, request, call),
    revokeApiKey: (request, call) => revokeApiKey(options, request, call),
    putCategory: (request, call) => putCategory(options, request, call),
    listCategories: (request, call) => listCategories(options, request, call),
    deleteCategory: (request, call) => deleteCategory(options, request, call),
  };
}

/** AdminService. Callers and requests are checked before they come here, by the mount. */
export const adminMount = (options: AdminOptions): Mount =>
  mount(AdminService, adminService(options), options);
