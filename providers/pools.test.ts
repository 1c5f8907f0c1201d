// A worker follows what tenants configure while it works: traffic moves, calls in flight end, nothing is lost.
import { describe, expect, it } from 'vitest';
import { BreakerState } from '../gen/carillon/v1/admin_pb.ts';
import { Channel, DeliveryState as S } from '../gen/carillon/v1/notification_pb.ts';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import {
  changeProviders,
  type ProviderConfig,
  removeProvider,
  storeProvider,
} from '../storage/provider-configs.ts';
import { listProviderReports } from '../storage/provider-reports.ts';
import type { TestDatabase } from '../test/support/database.ts';
import { testDatabase } from '../test/support/database.ts';
import { insertDelivery, insertUser, seeAttempts, seeRow } from '../test/support/delivery-rows.ts';
import { until } from '../test/support/until.ts';
import { testCatalog } from './catalog.fixture.ts';
import type { OpenProvider } from './pools.ts';
import type { Outcome } from './provider.ts';
import { FakeProvider, openWorker, recordOf } from './worker.fixture.ts';

const sent: Outcome = { kind: 'sent', messageId: 'm' };

/** A provider that knows whether it was closed. */
class Closable extends FakeProvider {
  closed = false;
  override [Symbol.asyncDispose] = async () => {
    this.closed = true;
  };
}

function put(db: TestDatabase['db'], name: string, more: Partial<ProviderConfig> = {}, newSettings = true) {
  return changeProviders(db, (tx, version) =>
    storeProvider(tx, {
      tenant: 'default',
      channel: Channel.EMAIL,
      name,
      kind: 'fake',
      position: 0,
      weight: 1,
      draining: false,
      settings: {},
      secretNames: [],
      secrets: undefined,
      version: newSettings ? version : 1,
      ...more,
    }),
  );
}

/** A worker whose tenants' providers are fakes, by name and in the order in which they were opened. */
async function worker(options: { open?: OpenProvider; perSecond?: number } = {}) {
  const t = await testDatabase();
  const opened: Closable[] = [];
  const standard = new FakeProvider('standard');
  const open: OpenProvider = async ({ name }) => {
    const provider = new Closable(name);
    opened.push(provider);
    return { provider, perSecond: options.perSecond, problem: '' };
  };
  const w = await openWorker({ providers: [standard], open, ...options }, t);
  await insertUser(t.db);
  return {
    ...w,
    db: t.db,
    standard,
    opened,
    async send(): Promise<void> {
      const key = await insertDelivery(t.db);
      await w.log.push([recordOf(key)]);
      await w.reaches(key, S.SENT);
    },
    async [Symbol.asyncDispose]() {
      await w[Symbol.asyncDispose]();
      await t[Symbol.asyncDispose]();
    },
  };
}

/** Sends until the newest message went by `provider`. */
async function movesTo(w: Awaited<ReturnType<typeof worker>>, provider: () => FakeProvider | undefined) {
  await until('traffic', async () => {
    const before = provider()?.calls.length ?? 0;
    await w.send();
    if ((provider()?.calls.length ?? 0) > before) return true;
    w.clock.advance(limits.providerConfigsPollMs);
    return undefined;
  });
}

describe('a worker', () => {
  it('sends by the process’s own provider until one is configured, and again when it is deleted', async () => {
    await using w = await worker();
    await w.send();
    expect(w.standard.calls).toHaveLength(1);
    const config = await put(w.db, 'a');
    await movesTo(w, () => w.opened[0]);
    expect(w.opened.map(({ name }) => name)).toEqual(['a']);
    await changeProviders(w.db, (tx) => removeProvider(tx, config));
    await movesTo(w, () => w.standard);
    await until('close', () => w.opened[0]!.closed || undefined);
  });

  it('leaves other tenants where they are', async () => {
    await using w = await worker();
    await put(w.db, 'theirs', { tenant: 'other' });
    await put(w.db, 'of another channel', { channel: Channel.SMS });
    w.clock.advance(limits.providerConfigsPollMs);
    await w.send();
    expect(w.standard.calls).toHaveLength(1);
    expect(w.opened).toEqual([]);
  });

  it('gives one that drains nothing new, keeps it open, and comes back to it', async () => {
    await using w = await worker();
    const place = { position: 0, version: 1 };
    await put(w.db, 'a', place);
    await put(w.db, 'b', { position: 1, version: 1 });
    await movesTo(w, () => w.opened.find(({ name }) => name === 'a'));
    const [a, b] = ['a', 'b'].map((name) => w.opened.find((each) => each.name === name)!);
    await put(w.db, 'a', { ...place, draining: true });
    await movesTo(w, () => b);
    const calls = a!.calls.length;
    for (let n = 0; n < 3; n++) await w.send();
    expect([a!.calls.length, a!.closed]).toEqual([calls, false]);
    await put(w.db, 'a', place);
    await movesTo(w, () => a);
    expect(w.opened).toHaveLength(2);
  });

  it('opens one anew when its settings change; a call of the old one ends, and only then is it closed', async () => {
    await using w = await worker();
    await put(w.db, 'a');
    await movesTo(w, () => w.opened[0]);
    const answer = Promise.withResolvers<Outcome>();
    const old = w.opened[0]!;
    const calls = old.calls.length;
    old.answer = (_message, call) => (call === calls + 1 ? answer.promise : sent);
    const key = await insertDelivery(w.db);
    await w.log.push([recordOf(key)]);
    await until('call', () => old.calls.length > calls || undefined);

    await put(w.db, 'a');
    await movesTo(w, () => w.opened[1]);
    expect(old.closed).toBe(false);
    answer.resolve(sent);
    await w.reaches(key, S.SENT);
    await until('close', () => old.closed || undefined);
    expect((await seeAttempts(w.db, key)).map(({ provider }) => provider)).toEqual(['a']);
  });

  it('holds rows while all of a channel drain, without attempts or tries', async () => {
    await using w = await worker();
    await put(w.db, 'a', { version: 1 });
    await movesTo(w, () => w.opened[0]);
    await put(w.db, 'a', { draining: true, version: 1 });
    const key = await until('row that is held', async () => {
      const next = await insertDelivery(w.db);
      await w.log.push([recordOf(next)]);
      const { reason } = await until('end of the try', async () => {
        const row = await seeRow(w.db, next);
        return row.state === S.SENT || row.reason !== '' ? row : undefined;
      });
      w.clock.advance(limits.providerConfigsPollMs);
      return reason === 'PROVIDERS_PAUSED' ? next : undefined;
    });
    expect(await seeRow(w.db, key)).toMatchObject({ state: S.QUEUED, tries: 0, attempts: 0 });
    await put(w.db, 'a', { version: 1 });
    await w.passes(limits.providerPausedMs, 'sent', async () => {
      const { state } = await seeRow(w.db, key);
      return state === S.SENT || undefined;
    });
  });

  it('goes to the next while one cannot be opened, says why, and opens it when that has passed', async () => {
    let away = true;
    const made: Closable[] = [];
    const refusing = new FakeProvider('a', () => ({ kind: 'config', reason: 'no key' }));
    const open: OpenProvider = async ({ name }) => {
      if (name === 'a' && away)
        return { provider: refusing, perSecond: undefined, problem: 'no key', again: true };
      made.push(new Closable(name));
      return { provider: made.at(-1)!, perSecond: undefined, problem: '' };
    };
    await using w = await worker({ open });
    await put(w.db, 'a');
    await put(w.db, 'b', { position: 1 });
    await movesTo(w, () => made.find(({ name }) => name === 'b'));
    expect(refusing.calls.length).toBeGreaterThan(0);
    await until('report', async () =>
      (await listProviderReports(w.db, 'default')).find(({ problem }) => problem === 'no key'),
    );
    away = false;
    await movesTo(w, () => made.find(({ name }) => name === 'a'));
  });

  it('keeps to a rate, and lets no row be lost that waits for its turn', async () => {
    await using w = await worker({ perSecond: 2 });
    await put(w.db, 'a');
    await movesTo(w, () => w.opened[0]);
    const keys = [];
    for (let n = 0; n < 20; n++) keys.push(await insertDelivery(w.db));
    const before = w.opened[0]!.calls.length;
    await w.log.push(keys.map((key) => recordOf(key)));
    const startMs = w.clock.monotonic();
    await w.passes(0, 'all calls', () => w.opened[0]!.calls.length - before >= 20 || undefined);
    const seconds = (w.clock.monotonic() - startMs) / 1000;
    expect(seconds).toBeGreaterThan((20 - 2 - 4) / 2);
    for (const key of keys) await w.reaches(key, S.SENT);
  });
});

describe('a catalog', () => {
  const config: ProviderConfig = {
    tenant: 'default',
    channel: Channel.SMS,
    name: 'a',
    kind: 'twilio',
    position: 0,
    weight: 1,
    draining: false,
    settings: {},
    secretNames: [],
    secrets: Buffer.from('x'),
    version: 1,
    updatedAtMs: 0,
  };

  it.each([
    ['without a master key', null, config, /CARILLON_MASTER_KEY/],
    ['with secrets that do not open', undefined, config, /sealed/],
    [
      'with settings that its kind no longer takes',
      undefined,
      { ...config, secrets: undefined },
      /accountSid/,
    ],
    [
      'of a kind that is gone',
      undefined,
      { ...config, secrets: undefined, kind: 'pigeon' },
      /must be one of/,
    ],
  ])('opens a provider %s as one that refuses with the reason', async (_what, masterKeys, given, why) => {
    await using t = await testDatabase();
    const { catalog } = testCatalog(t.db, masterKeys === null ? { masterKeys } : {});
    const { provider, problem, again } = await catalog.open(given);
    expect(problem).toMatch(why);
    expect(again).toBe(false);
    expect(provider.serves({ kind: 'phone', phone: '+41441234567' })).toBe(true);
    const signal = new AbortController().signal;
    expect(await provider.send({} as never, { signal, attemptId: 'x' })).toEqual({
      kind: 'config',
      reason: problem,
    });
  });

  it('says that it may pass when the database is away', async () => {
    await using t = await testDatabase();
    const away = Object.assign(Object.create(t.db), {
      query: () => Promise.reject(new CarillonError('STORE_UNAVAILABLE')),
    });
    expect(await testCatalog(away).catalog.open(config)).toMatchObject({ again: true });
  });
});

it('a breaker’s state of a tenant’s provider is reported with the tenant', async () => {
  await using w = await worker();
  await put(w.db, 'a');
  await movesTo(w, () => w.opened[0]);
  const report = await until('report', async () => {
    w.clock.advance(limits.providerReportMs);
    return (await listProviderReports(w.db, 'default')).find(({ provider }) => provider === 'a');
  });
  expect(report).toMatchObject({ tenant: 'default', breaker: BreakerState.CLOSED, rate: 0, problem: '' });
  expect((await listProviderReports(w.db, 'other')).map(({ provider }) => provider)).toEqual(['standard']);
});
