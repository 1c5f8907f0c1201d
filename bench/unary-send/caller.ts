// A process that calls Send so many times, 64 at once, on the port it is told.
import { create } from '@bufbuild/protobuf';
import { IngestService, SendRequestSchema } from '../../gen/carillon/v1/ingest_pb.ts';
import { grpcClient } from '../../runtime/grpc-service.ts';

const IN_FLIGHT = 64;
const clients = new Map<number, ReturnType<typeof open>>();
const open = (port: number) => grpcClient(IngestService, `127.0.0.1:${port}`);

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

async function call(port: number, calls: number): Promise<void> {
  const client = clients.get(port) ?? open(port);
  clients.set(port, client);
  let left = calls;
  const worker = async () => {
    while (left-- > 0) await client.send(request);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
}

process.on('message', async ({ port, calls }: { port: number; calls: number }) => {
  await call(port, calls);
  process.send?.({ done: true });
});
process.on('disconnect', () => process.exit());
