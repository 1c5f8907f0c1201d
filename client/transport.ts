// How the edge is reached when the app does not say: Connect over fetch, in browsers and in Node.
import type { Transport } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-web';

/**
 * Streams have a connection each, over HTTP/1.1, which is what costs an edge least; calls share the connections that
 * `fetch` keeps, among all clients of a process. React Native: give a transport whose `fetch` streams, such as expo's.
 */
export const fetchTransport = (url: string): Transport =>
  createConnectTransport({ baseUrl: url, useBinaryFormat: true });
