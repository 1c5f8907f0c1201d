// Who calls is asked before a request is looked at, and with every message of a stream again.
import { create } from '@bufbuild/protobuf';
import { createHandlerContext } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import {
  IngestService,
  PublishRequestSchema,
  type PublishResponse,
  PublishResponseSchema,
  SendRequestSchema,
  WatchNotificationRequestSchema,
} from '../gen/carillon/v1/ingest_pb.ts';
import { anybody, testTokens } from '../test/support/tokens.ts';
import type { Authenticator } from './authenticator.ts';
import { bearer } from './bearer.ts';
import { principalOf } from './identity.ts';
import { mount } from './mount.ts';

const ID = '0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee';

const contextOf = (name: keyof typeof IngestService.method, headers: Record<string, string>) =>
  createHandlerContext({
    service: IngestService,
    method: IngestService.method[name],
    protocolName: 'connect',
    requestMethod: 'POST',
    url: 'http://localhost',
    requestHeader: new Headers(headers),
  });

async function service(authenticate?: Authenticator['authenticate']) {
  const tokens = await testTokens();
  const { id, key } = tokens.backendKey();
  const said = { got: 0, produced: 0 };
  const { handlers } = mount(
    IngestService,
    {
      send: (_request, context) => ({ notificationId: principalOf(context).tenant }),
      async *watchNotification() {
        for (;;) {
          said.produced++;
          yield { status: { notificationId: ID } };
        }
      },
      async *publish(requests) {
        for await (const { batch } of requests) {
          said.got++;
          yield create(PublishResponseSchema, { batch });
        }
      },
    },
    { authenticator: authenticate ? { ...anybody, authenticate } : tokens.authenticator },
  );
  const revoke = () => {
    const known = tokens.credentials.keys.get(id)!;
    tokens.credentials.keys.set(id, { ...known, revokedMs: 1 });
  };
  return { handlers, said, revoke, headers: bearer(key) };
}

test('who may not call is not told what is wrong with the request', async () => {
  const { handlers, headers } = await service();
  const broken = create(SendRequestSchema, {});
  expect(() => handlers.send?.(broken, contextOf('send', {}))).toThrow(
    expect.objectContaining({ reason: 'UNAUTHENTICATED' }),
  );
  expect(() => handlers.send?.(broken, contextOf('send', headers))).toThrow(
    expect.objectContaining({ reason: 'INVALID_REQUEST' }),
  );
});

test('a stream of replies ends when the key of its caller is revoked', async () => {
  const { handlers, said, revoke, headers } = await service();
  const request = create(WatchNotificationRequestSchema, { notificationId: ID });
  const replies = handlers.watchNotification?.(
    request,
    contextOf('watchNotification', headers),
  ) as AsyncIterable<unknown>;
  let got = 0;
  const read = async () => {
    for await (const _reply of replies) if (++got === 3) revoke();
  };
  await expect(read()).rejects.toMatchObject({ reason: 'TOKEN_REVOKED' });
  expect(got).toBe(3);
  expect(said.produced).toBe(4);
});

test('a stream of requests is taken no further when the key of its caller is revoked', async () => {
  const { handlers, said, revoke, headers } = await service();
  async function* requests() {
    for (let batch = 1; ; batch++) {
      if (batch === 3) revoke();
      yield create(PublishRequestSchema, { batch });
    }
  }
  const replies = handlers.publish?.(requests(), contextOf('publish', headers)) as AsyncIterable<unknown>;
  const read = async () => {
    for await (const _reply of replies);
  };
  await expect(read()).rejects.toMatchObject({ reason: 'TOKEN_REVOKED' });
  expect(said.got).toBe(2);
});

test.each(['*', 'users:read'])(
  'a caller who is known a moment later waits; with the scope %s',
  async (scope) => {
    const { handlers } = await service(async () => ({
      ...(await anybody.authenticate(new Headers())),
      scopes: [scope],
    }));
    async function* requests() {
      yield create(PublishRequestSchema, { batch: 7 });
    }
    const outcome = async () => {
      const replies = handlers.publish?.(
        requests(),
        contextOf('publish', {}),
      ) as AsyncIterable<PublishResponse>;
      for await (const { batch } of replies) return batch;
      return undefined;
    };
    const request = create(SendRequestSchema, {
      notification: { audience: { kind: { case: 'users', value: { ids: ['a'] } } }, content: { title: 't' } },
    });
    const send = Promise.resolve(handlers.send?.(request, contextOf('send', {})));
    if (scope === '*') {
      expect(await outcome()).toBe(7);
      expect(await send).toMatchObject({ notificationId: 'default' });
    } else {
      await expect(outcome()).rejects.toMatchObject({ reason: 'PERMISSION_DENIED' });
      await expect(send).rejects.toMatchObject({ reason: 'PERMISSION_DENIED' });
    }
  },
);
