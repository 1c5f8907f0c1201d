// Where URLs of others may lead: by a table of addresses, and by connections that must not be made.
import type { LookupAddress } from 'node:dns';
import { describe, expect, it } from 'vitest';
import { HttpCaller } from '../http-call.ts';
import { startFakeServer } from '../http-server.fixture.ts';
import { isPublicAddress, mayBePublic, publicLookup } from './public-address.ts';

describe('an address', () => {
  it.each([
    '1.1.1.1',
    '8.8.8.8',
    '93.184.216.34',
    '172.15.255.255',
    '172.32.0.1',
    '192.0.1.1',
    '223.255.255.255',
    '2606:4700::1111',
    '2a00:1450:4001::200e',
  ])('%s is public', (address) => expect(isPublicAddress(address)).toBe(true));

  it.each([
    '0.0.0.0',
    '10.0.0.1',
    '100.64.0.1',
    '100.127.255.255',
    '127.0.0.1',
    '127.255.255.254',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.8',
    '192.0.2.1',
    '192.168.1.1',
    '198.18.0.1',
    '198.19.255.255',
    '198.51.100.1',
    '203.0.113.1',
    '224.0.0.1',
    '239.255.255.255',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:8.8.8.8',
    '64:ff9b::7f00:1',
    '64:ff9b:1::1',
    '100::1',
    '2001::1',
    '2001:db8::1',
    '2002:7f00:1::1',
    '3fff::1',
    'fc00::1',
    'fd12::1',
    'fe80::1',
    'fe80::1%eth0',
    '2606:4700::1%eth0',
    'ff02::1',
    '',
    'localhost',
    '1.2.3',
    '1.2.3.4.5',
    '0x7f.0.0.1',
    '127.1',
  ])('%j is not', (address) => expect(isPublicAddress(address)).toBe(false));
});

describe('a URL', () => {
  it.each([
    ['https://hooks.example/x', true],
    ['https://8.8.8.8/x', true],
    ['https://127.0.0.1/', false],
    ['https://2130706433/', false],
    ['https://0x7f000001/', false],
    ['https://0177.0.0.1/', false],
    ['https://127.1/', false],
    ['https://[::1]/', false],
    ['https://[::ffff:10.0.0.1]/', false],
    ['https://169.254.169.254/latest/meta-data', false],
    ['nothing', false],
  ])('%s may be public: %s', (url, expected) => expect(mayBePublic(url)).toBe(expected));
});

describe('a name', () => {
  const leadingTo = (...addresses: string[]) =>
    publicLookup((_name, done) =>
      done(
        null,
        addresses.map((address): LookupAddress => ({ address, family: address.includes(':') ? 6 : 4 })),
      ),
    );

  it.each([[['127.0.0.1']], [['::1']], [['8.8.8.8', '10.0.0.1']], [['169.254.169.254']]])(
    'that leads to %j is not called at all',
    async (addresses) => {
      await using server = await startFakeServer(() => ({ status: 200 }));
      const url = server.url.replace('127.0.0.1', 'hooks.example');
      await using caller = new HttpCaller({ baseUrl: url, lookup: leadingTo(...addresses) });
      const result = await caller.call({ path: '/', signal: new AbortController().signal });
      expect(result).toMatchObject({ outcome: { kind: 'config' } });
      expect(server.requests).toHaveLength(0);
    },
  );

  it('is looked up once for a connection, which goes to that address and no other', async () => {
    await using server = await startFakeServer(() => ({ status: 200 }));
    let asked = 0;
    // This lookup checks nothing, so that the connection can be seen to go where it says.
    await using caller = new HttpCaller({
      baseUrl: server.url.replace('127.0.0.1', 'hooks.example'),
      connections: 1,
      lookup: (_name, { all }, done) => {
        asked += 1;
        if (all) done(null, [{ address: '127.0.0.1', family: 4 }]);
        else done(null, '127.0.0.1', 4);
      },
    });
    for (let call = 0; call < 3; call++)
      await caller.call({ path: '/', signal: new AbortController().signal });
    expect(server.requests.map(({ headers }) => headers.host)).toHaveLength(3);
    expect(server.requests[0]?.headers.host).toMatch(/^hooks\.example:/);
    expect(asked).toBe(1);
  });

  it('that leads nowhere is down', async () => {
    const nowhere = publicLookup((_name, done) => done(null, []));
    await using caller = new HttpCaller({ baseUrl: 'https://hooks.example', lookup: nowhere });
    const result = await caller.call({ path: '/', signal: new AbortController().signal });
    expect(result).toMatchObject({ outcome: { kind: 'down' } });
  });
});
