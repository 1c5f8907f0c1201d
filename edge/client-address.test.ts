// Whose stream it is by its address: proxies that are trusted are looked through, nobody else is believed.
import { expect, test } from 'vitest';
import { clientAddress, trustedProxies } from './client-address.ts';

const trusted = trustedProxies(['127.0.0.0/8', '::1', '10.0.0.0/8', 'fd00::/8', '192.0.2.7']);

test.each<[what: string, remote: string, forwarded: string | null, counted: string | undefined]>([
  ['a client that comes by itself', '203.0.113.5', null, '203.0.113.5'],
  ['what a client says of itself is not believed', '203.0.113.5', '198.51.100.1', '203.0.113.5'],
  ['a trusted proxy names its client', '10.1.2.3', '203.0.113.5', '203.0.113.5'],
  ['behind several that are trusted', '127.0.0.1', '203.0.113.5, 10.0.0.9, 192.0.2.7', '203.0.113.5'],
  ['what the client put before its own address', '10.1.2.3', '10.0.0.1, 6.6.6.6, 203.0.113.5', '203.0.113.5'],
  ['this machine is not counted', '127.0.0.1', null, undefined],
  ['nor by IPv6', '::1', '', undefined],
  ['nor as IPv4 within IPv6', '::ffff:127.0.0.1', null, undefined],
  ['a proxy that names only proxies', '10.0.0.1', '10.0.0.2, 10.0.0.3', undefined],
  ['a proxy that names rubbish counts itself', '10.0.0.1', 'unknown', '10.0.0.1'],
  ['with a port', '10.0.0.1', '203.0.113.5:8443', '203.0.113.5'],
  ['IPv6 counts by its /64', '2001:db8:1:2:3:4:5:6', null, '2001:db8:1:2::/64'],
  ['however it is written', '10.0.0.1', '[2001:0DB8:1:2::9]:443', '2001:db8:1:2::/64'],
  ['shortened in front', '10.0.0.1', '2001:db8::1', '2001:db8:0:0::/64'],
  ['with a zone', 'fe80::1%eth0', null, 'fe80:0:0:0::/64'],
  ['a connection that is gone', '', null, undefined],
])('%s', (_what, remote, forwarded, counted) => {
  expect(clientAddress(remote, forwarded, trusted)).toBe(counted);
});

test('a header as long as it may be is looked at from its end, and not further than its bound', () => {
  const hops = Array.from({ length: 1_000 }, () => '10.0.0.1').join(',');
  expect(clientAddress('10.0.0.1', `203.0.113.5,${hops}`, trusted)).toBeUndefined();
});
