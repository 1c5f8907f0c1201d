// The push services that subscriptions name, each with its own connections, token and breaker: what one does concerns no other.
import type { KeyObject } from 'node:crypto';
import type { LookupFunction } from 'node:net';
import { SignJWT } from 'jose';
import type { Clock } from '../../runtime/clock.ts';
import { limits } from '../../runtime/limits.ts';
import { Breaker } from '../breaker.ts';
import { Credential } from '../credential.ts';
import { HttpCaller, REFUSED_ADDRESS } from '../http-call.ts';
import { publicLookup } from '../webhook/public-address.ts';
import { vapidKeyOf, type WebPushSettings } from './web-push-settings.ts';

export interface PushService {
  readonly caller: HttpCaller;
  /** The token of RFC 8292 for this service alone. */
  readonly credential: Credential;
  readonly breaker: Breaker;
  /** Its name leads into a private network, when it was last looked up. */
  isPrivate: boolean;
}

interface Held extends PushService {
  users: number;
}

/** Names are looked up for each connection, which then goes to the addresses that were looked at. */
function lookupOf(service: () => PushService): LookupFunction {
  const lookup = publicLookup();
  return (name, options, done) =>
    lookup(name, options, (error, ...found) => {
      service().isPrivate = error?.code === REFUSED_ADDRESS;
      done(error, ...found);
    });
}

export class PushServices implements AsyncDisposable {
  readonly #services = new Map<string, Held>();
  readonly #settings: WebPushSettings;
  readonly #key: KeyObject;
  readonly #clock: Clock;

  constructor(settings: WebPushSettings, clock: Clock) {
    this.#settings = settings;
    this.#key = vapidKeyOf(settings);
    this.#clock = clock;
  }

  /** Runs `work` with the service of an origin, which is kept as long as it is in use, and as long as it is among the last used. */
  async use<T>(origin: string, work: (service: PushService) => Promise<T>): Promise<T> {
    const service = this.#services.get(origin) ?? this.#open(origin);
    this.#services.delete(origin);
    this.#services.set(origin, service);
    service.users += 1;
    try {
      return await work(service);
    } finally {
      service.users -= 1;
      this.#trim();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#services.values()];
    this.#services.clear();
    await Promise.all(all.map((service) => close(service)));
  }

  #open(origin: string): Held {
    const isOpen = this.#settings.endpoints === 'any';
    const service: Held = {
      caller: new HttpCaller({
        baseUrl: origin,
        connections: limits.webPushConnectionsCount,
        ...(!isOpen && { lookup: lookupOf(() => service) }),
      }),
      credential: new Credential(this.#clock, () => this.#token(origin)),
      breaker: new Breaker({ clock: this.#clock }),
      isPrivate: false,
      users: 0,
    };
    return service;
  }

  /** https://www.rfc-editor.org/rfc/rfc8292#section-2 */
  async #token(origin: string) {
    const nowMs = this.#clock.now();
    const token = await new SignJWT()
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT' })
      .setAudience(origin)
      .setExpirationTime(Math.floor((nowMs + limits.vapidMs) / 1000))
      .setSubject(this.#settings.subject)
      .sign(this.#key);
    return {
      token,
      renewAtMs: nowMs + (limits.vapidMs * 3) / 4,
      endsAtMs: nowMs + (limits.vapidMs * 7) / 8,
    };
  }

  #trim(): void {
    for (const [origin, service] of this.#services) {
      if (this.#services.size <= limits.webPushServicesCount) return;
      if (service.users > 0) continue;
      this.#services.delete(origin);
      void close(service);
    }
  }
}

async function close({ caller, credential }: PushService): Promise<void> {
  credential[Symbol.dispose]();
  await caller[Symbol.asyncDispose]();
}
