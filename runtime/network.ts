// Says whether a text names addresses: a single one, or a network.
import { isIP } from 'node:net';

/** `10.0.0.0/8`, `fd00::/8`, or a single address. */
export function isNetwork(written: string): boolean {
  const [address = '', bits, ...more] = written.split('/');
  const family = isIP(address);
  if (family === 0 || more.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}
