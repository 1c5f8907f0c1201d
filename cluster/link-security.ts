// What a router brings along to an edge: a certificate where links are encrypted, a token where the mesh has a secret.
import { isIP } from 'node:net';
import { checkServerIdentity, getCACertificates, type PeerCertificate } from 'node:tls';
import grpc from '@grpc/grpc-js';

export interface LinkSecurity {
  /** PEM. The edge must have a certificate of `ca`; without it, one of the system's authorities, or our own. */
  tls?: { cert: string; key: string; ca?: string } | undefined;
  /** A bearer for a link that opens now. */
  token?: (() => Promise<string>) | undefined;
}

/** Options of a channel to `address` (`host:port`). */
export function channelSecurity(
  { tls }: LinkSecurity,
  address: string,
): grpc.ChannelOptions & { credentials?: grpc.ChannelCredentials } {
  if (!tls) return {};
  const roots = tls.ca ?? [...getCACertificates('default'), tls.cert].join('\n');
  const host = address.slice(0, address.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1');
  const identity = {
    checkServerIdentity: (_: string, cert: PeerCertificate) => checkServerIdentity(host, cert),
  };
  return {
    credentials: grpc.credentials.createSsl(
      Buffer.from(roots),
      Buffer.from(tls.key),
      Buffer.from(tls.cert),
      identity,
    ),
    // Node refuses an IP address as the name in a handshake; whose certificate it is, is checked above.
    ...(isIP(host) > 0 && {
      'grpc.ssl_target_name_override': 'edge.carillon.internal',
      'grpc.default_authority': address,
    }),
  };
}
