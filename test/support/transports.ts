// Transports for meshes under test whose every call says who it is from.
import type { Transport } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { withBearer } from '../../runtime/bearer.ts';
import { backendToken, userToken } from './tokens.ts';

/** A backend that may do everything. */
export const backendTransport = (baseUrl: string, httpVersion: '1.1' | '2' = '1.1'): Transport =>
  createConnectTransport({ baseUrl, httpVersion, interceptors: [withBearer(() => backendToken())] });

export const userTransport = (baseUrl: string, userId: string): Transport =>
  createConnectTransport({
    baseUrl,
    httpVersion: '1.1',
    interceptors: [withBearer(() => userToken(userId))],
  });
