// The two flows that a trace must show whole: to a client that is there, and to a mailbox because nobody is.
import { createClient } from '@connectrpc/connect';
import { AdminService } from '../../gen/carillon/v1/admin_pb.ts';
import { EdgeService } from '../../gen/carillon/v1/edge_pb.ts';
import { IngestService } from '../../gen/carillon/v1/ingest_pb.ts';
import { Channel, DeliveryState } from '../../gen/carillon/v1/notification_pb.ts';
import { backendTransport, userTransport } from '../support/transports.ts';
import { until } from '../support/until.ts';

interface Addresses {
  ingest: string;
  edge: string;
}

function send(ingest: string, userId: string, channels: Channel[], traceparent: string) {
  const client = createClient(IngestService, backendTransport(ingest));
  return client.send(
    {
      notification: {
        audience: { kind: { case: 'users', value: { ids: [userId] } } },
        content: { title: 'A traced one', body: 'from end to end' },
        channels,
      },
    },
    { headers: { traceparent } },
  );
}

/** `between` runs after Send has been answered and before anything is awaited. */
export async function onlineFlow(
  mesh: Addresses,
  userId: string,
  traceparent: string,
  between?: () => Promise<void>,
): Promise<void> {
  const edge = createClient(EdgeService, userTransport(mesh.edge, userId));
  const call = new AbortController();
  let sessionId = '';
  try {
    for await (const { frame } of edge.subscribe({}, { signal: call.signal })) {
      if (frame.case === 'hello') {
        sessionId = frame.value.sessionId;
        await send(mesh.ingest, userId, [Channel.IN_APP], traceparent);
        await between?.();
      }
      if (frame.case === 'deliver') {
        const { seq, traceparent: carried } = frame.value;
        await edge.ack({ sessionId, after: seq - 1, upto: seq, traceparents: [carried] });
        return;
      }
    }
  } finally {
    call.abort();
  }
}

export async function offlineFlow(
  mesh: Addresses,
  userId: string,
  traceparent: string,
  between?: () => Promise<void>,
): Promise<void> {
  await createClient(AdminService, backendTransport(mesh.ingest)).putUser({
    user: { id: userId, email: `${userId}@example.test` },
  });
  const { notificationId } = await send(mesh.ingest, userId, [], traceparent);
  await between?.();
  const client = createClient(IngestService, backendTransport(mesh.ingest));
  await until(
    'mail',
    async () => {
      const { status } = await client.getNotification({ notificationId });
      return status?.deliveries.some(({ state }) => state === DeliveryState.SENT) || undefined;
    },
    60_000,
  );
}
