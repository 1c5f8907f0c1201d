// Who plays in a run: which users, on which devices, knowing which edges.
import type { Device, DeviceKind, Kind } from './history.ts';
import type { Chance } from './random.ts';

/** Of a hundred devices. The others are the SDK with the addresses of all edges. */
const STOCK = 8;
const ONE_ADDRESS = 12;
/** Of a hundred users: how many have two devices. */
const TWO_DEVICES = 5;
/** Of a hundred users who are online: how many have a mail address too. */
const WITH_MAIL = 10;
const OFFLINE_USERS = 50;

export interface Players {
  devices: Device[];
  users: Record<Kind, string[]>;
  /** Who has an address. */
  mailed: string[];
}

function kindOf(chance: Chance): DeviceKind {
  const roll = chance.next() * 100;
  if (roll < STOCK) return 'stock';
  return roll < STOCK + ONE_ADDRESS ? 'sdk, one address' : 'sdk';
}

/** `count` devices over `edges` edges. One that knows a single address knows it of one edge. */
export function players(count: number, edges: number, chance: Chance): Players {
  const every = Array.from({ length: edges }, (_, index) => index);
  const devices: Device[] = [];
  const online: string[] = [];
  while (devices.length < count) {
    const userId = `online-${online.length}`;
    online.push(userId);
    const wanted = chance.next() * 100 < TWO_DEVICES ? 2 : 1;
    for (let left = wanted; left > 0 && devices.length < count; left--) {
      const kind = kindOf(chance);
      const first = chance.between(0, edges);
      devices.push({ id: devices.length, userId, kind, edges: kind === 'sdk' ? every : [first] });
    }
  }
  const reachable = online.filter(() => chance.next() * 100 < WITH_MAIL);
  const offline = Array.from({ length: OFFLINE_USERS }, (_, index) => `offline-${index}`);
  return {
    devices,
    users: {
      in_app: online,
      escalating: reachable.length > 0 ? reachable : [...online],
      email: offline,
      fallback: offline,
    },
    mailed: [...reachable, ...offline],
  };
}
