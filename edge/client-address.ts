// The address that a stream is counted by: looked through proxies that are trusted, and through no others.
import { BlockList, isIP } from 'node:net';
import { limits } from '../runtime/limits.ts';

/** Addresses of one network, as `10.0.0.0/8`, or a single one. */
export interface TrustedProxies {
  has(address: string): boolean;
}

const typeOf = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 4 ? 'ipv4' : 'ipv6');

/** `networks`: addresses and `address/bits`, which the configuration has checked. */
export function trustedProxies(networks: readonly string[]): TrustedProxies {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', bits] = network.split('/');
    if (bits === undefined) list.addAddress(address, typeOf(address));
    else list.addSubnet(address, Number(bits), typeOf(address));
  }
  return { has: (address) => list.check(address, typeOf(address)) };
}

/** `::ffff:10.0.0.1` is 10.0.0.1, brackets and ports go; undefined when it is no address. */
function plainAddress(text: string): string | undefined {
  let address = text.trim();
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(address);
  if (bracketed) address = bracketed[1] ?? '';
  else if (/^\d+\.\d+\.\d+\.\d+:\d+$/.test(address)) address = address.slice(0, address.indexOf(':'));
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped) address = mapped[1] ?? '';
  return isIP(address) === 0 ? undefined : address;
}

/** One home or one host gets a /64, and could otherwise be as many addresses as it likes. */
function countedAs(address: string): string {
  if (isIP(address) === 4) return address;
  const [front = '', back] = address.split('%', 1)[0]!.toLowerCase().split('::');
  const groups = front.split(':').filter(Boolean);
  if (back !== undefined) {
    const rest = back.split(':').filter(Boolean);
    while (groups.length + rest.length < 8) groups.push('0');
    groups.push(...rest);
  }
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}

/**
 * Who the stream comes from: the first address, from the connection backwards through `x-forwarded-for`, that is no trusted
 * proxy. Undefined, and so not counted, when a trusted one names nobody: then it speaks for itself, or for all.
 */
export function clientAddress(
  remote: string,
  forwardedFor: string | null,
  trusted: TrustedProxies,
): string | undefined {
  let address = plainAddress(remote);
  if (address === undefined) return undefined;
  if (!trusted.has(address)) return countedAs(address);
  const hops = forwardedFor?.trim() ? forwardedFor.split(',').slice(-limits.forwardedHopsCount) : [];
  for (let at = hops.length - 1; at >= 0; at--) {
    const hop = plainAddress(hops[at] ?? '');
    // A proxy that is trusted wrote it, and does not know either: what stands before is anybody's.
    if (hop === undefined) return countedAs(address);
    address = hop;
    if (!trusted.has(address)) return countedAs(address);
  }
  return undefined;
}
