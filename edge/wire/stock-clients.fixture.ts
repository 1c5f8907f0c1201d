// The clients that people use, as they come, each as an EdgeService client of Connect's shape.
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { type Client, type Code, ConnectError, createClient, type Transport } from '@connectrpc/connect';
import {
  compressionGzip,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node';
import {
  createConnectTransport as createWebConnectTransport,
  createGrpcWebTransport as createWebGrpcWebTransport,
} from '@connectrpc/connect-web';
import grpc from '@grpc/grpc-js';
import {
  EdgeService,
  type SubscribeRequest,
  SubscribeRequestSchema,
  SubscribeResponseSchema,
} from '../../gen/carillon/v1/edge_pb.ts';

export type EdgeClient = Pick<Client<typeof EdgeService>, 'subscribe' | 'ack'>;

const gzip = { sendCompression: compressionGzip, compressMinBytes: 1 };
const transports: Readonly<Record<string, (baseUrl: string) => Transport>> = {
  'Connect over HTTP/1.1': (baseUrl) => createConnectTransport({ baseUrl, httpVersion: '1.1' }),
  'Connect over HTTP/2': (baseUrl) => createConnectTransport({ baseUrl, httpVersion: '2' }),
  'Connect, gzip, over HTTP/1.1': (baseUrl) =>
    createConnectTransport({ baseUrl, httpVersion: '1.1', ...gzip }),
  'Connect, JSON, over HTTP/1.1': (baseUrl) =>
    createConnectTransport({ baseUrl, httpVersion: '1.1', useBinaryFormat: false }),
  'Connect, JSON, gzip, over HTTP/2': (baseUrl) =>
    createConnectTransport({ baseUrl, httpVersion: '2', useBinaryFormat: false, ...gzip }),
  'gRPC-Web over HTTP/1.1': (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: '1.1' }),
  'gRPC-Web over HTTP/2': (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: '2' }),
  'gRPC-Web, JSON, over HTTP/1.1': (baseUrl) =>
    createGrpcWebTransport({ baseUrl, httpVersion: '1.1', useBinaryFormat: false }),
  'gRPC over HTTP/2': (baseUrl) => createGrpcTransport({ baseUrl }),
  'gRPC, gzip, over HTTP/2': (baseUrl) => createGrpcTransport({ baseUrl, ...gzip }),
  'connect-web': (baseUrl) => createWebConnectTransport({ baseUrl, useBinaryFormat: true }),
  'connect-web, JSON': (baseUrl) => createWebConnectTransport({ baseUrl }),
  'connect-web, gRPC-Web': (baseUrl) => createWebGrpcWebTransport({ baseUrl }),
};

/** grpc-js in the same shape. */
class GrpcJsClient {
  readonly #client: grpc.Client;
  constructor(address: string) {
    this.#client = new grpc.Client(new URL(address).host, grpc.credentials.createInsecure());
  }

  async *subscribe(request: Partial<SubscribeRequest>, options: { signal?: AbortSignal } = {}) {
    const call = this.#client.makeServerStreamRequest(
      `/${EdgeService.typeName}/Subscribe`,
      (message: Partial<SubscribeRequest>) =>
        Buffer.from(
          toBinary(SubscribeRequestSchema, {
            ...message,
            $typeName: SubscribeRequestSchema.typeName,
          } as SubscribeRequest),
        ),
      (bytes: Buffer) => fromBinary(SubscribeResponseSchema, bytes),
      { deviceId: '', activity: 0, ...request },
    );
    options.signal?.addEventListener('abort', () => call.cancel());
    try {
      for await (const message of call) yield message;
    } catch (error) {
      const { code, details, metadata } = error as grpc.ServiceError;
      const status = metadata.get('grpc-status-details-bin')[0];
      const headers = new Headers(status ? [['grpc-status-details-bin', status.toString('base64')]] : []);
      throw new ConnectError(details, code as number as Code, headers);
    } finally {
      call.cancel();
    }
  }
}

export interface StockClient {
  readonly name: string;
  connect(address: string): Pick<EdgeClient, 'subscribe'>;
}

export const connectClients = Object.entries(transports).map(([name, transport]) => ({
  name,
  connect: (address: string): EdgeClient => createClient(EdgeService, transport(address)),
}));

export const stockClients: readonly StockClient[] = [
  ...connectClients,
  {
    name: 'grpc-js',
    connect: (address) => new GrpcJsClient(address) as unknown as Pick<EdgeClient, 'subscribe'>,
  },
];
