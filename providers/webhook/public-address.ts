// Where a URL that others chose may lead: to public addresses, looked up right before the connection that is made to them.
import { type LookupAddress, lookup as systemLookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { REFUSED_ADDRESS } from '../http-call.ts';

/** IANA's registry of special-purpose IPv4 addresses, with multicast. */
const special4 = new BlockList();
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const)
  special4.addSubnet(net, bits, 'ipv4');

/** Global unicast, and what within it is not: protocol assignments, documentation, 6to4, which holds an IPv4 address. */
const global6 = new BlockList();
global6.addSubnet('2000::', 3, 'ipv6');
const special6 = new BlockList();
for (const [net, bits] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const)
  special6.addSubnet(net, bits, 'ipv6');

/** Whether an address is one of the public internet; false for everything that is no address. */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !special4.check(address, 'ipv4');
    case 6:
      return !address.includes('%') && global6.check(address, 'ipv6') && !special6.check(address, 'ipv6');
    default:
      return false;
  }
}

/** Whether the URL's host is a name, or a public address in numbers. Names are looked up when they are called. */
export function mayBePublic(url: string): boolean {
  const host = URL.parse(url)?.hostname.replace(/^\[|\]$/g, '');
  return host !== undefined && host !== '' && (isIP(host) === 0 || isPublicAddress(host));
}

type Resolve = (
  name: string,
  done: (error: NodeJS.ErrnoException | null, found: readonly LookupAddress[]) => void,
) => void;

const resolveBySystem: Resolve = (name, done) => systemLookup(name, { all: true }, done);

/**
 * For connections: the addresses of a name, which then are connected to as they are. One that is not public refuses all of
 * them, since nobody can say which one would be taken.
 */
export const publicLookup =
  (resolve: Resolve = resolveBySystem): LookupFunction =>
  (name, { all }, done) =>
    resolve(name, (error, found) => {
      const [first] = found ?? [];
      if (error || !first)
        return done(error ?? Object.assign(new Error('no address'), { code: 'ENOTFOUND' }), '');
      if (!found.every(({ address }) => isPublicAddress(address)))
        return done(Object.assign(new Error('not a public address'), { code: REFUSED_ADDRESS }), '');
      return all ? done(null, [...found]) : done(null, first.address, first.family);
    });
