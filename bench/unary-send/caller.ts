// A process that calls Send so many times, 64 at once, on the port and with the key it is told.
import { create } from '@bufbuild/protobuf';
import { IngestService, SendRequestSchema } from '../../gen/carillon/v1/ingest_pb.ts';
import { bearer } from '../../runtime/bearer.ts';
import { grpcClient } from '../../runtime/grpc-service.ts';

export interface Calls {
  port: number;
  /** The API key that every call brings. */
  key: string;
  calls: number;
}

const IN_FLIGHT = 64;
const clients = new Map<number, ReturnType<typeof open>>();
const open = (port: number, key: string) =>
  grpcClient(IngestService, `127.0.0.1:${port}`, { headers: bearer(key) });

const request = create(SendRequestSchema, {
  notification: {
    category: 'orders',
    audience: { kind: { case: 'users', value: { ids: ['u-20261120-4711'] } } },
    content: {
      title: 'Your order is on its way',
      body: 'Parcel 4711 left the depot this morning and will be with you between two and four.',
      data: { order: 'o-20261120-4711', carrier: 'northwind' },
      imageUrl: 'https://images.example.com/o/4711.webp',
    },
    actor: { id: 'u-shop', name: 'Northwind' },
  },
});

async function call({ port, key, calls }: Calls): Promise<void> {
  const client = clients.get(port) ?? open(port, key);
  clients.set(port, client);
  let left = calls;
  const worker = async () => {
    while (left-- > 0) await client.send(request);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
}

process.on('message', async (calls: Calls) => {
  await call(calls);
  process.send?.({ done: true });
});
process.on('disconnect', () => process.exit());
