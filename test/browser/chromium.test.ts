// Chromium is found by several at once, runs side by side, and is missed in one sentence.
import { access, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { limits } from '../../runtime/limits.ts';
import { findChromium, startChromium } from './chromium.ts';

afterEach(() => vi.unstubAllEnvs());

test(
  'three who ask at once are given the same program',
  async () => {
    const found = await Promise.all([findChromium(), findChromium(), findChromium()]);
    expect(new Set(found.map(({ executablePath }) => executablePath)).size).toBe(1);
    await access(found[0].executablePath);
  },
  limits.stackFetchMs,
);

test(
  'two browsers side by side draw text',
  async () => {
    await using first = await startChromium();
    await using second = await startChromium();
    const heights = [first, second].map(async ({ browser }) => {
      const page = await browser.newPage();
      await page.setContent('<h1>Carillon</h1>');
      return (await page.locator('h1').boundingBox())?.height ?? 0;
    });
    for (const height of await Promise.all(heights)) expect(height).toBeGreaterThan(0);
  },
  limits.stackFetchMs,
);

test('where there is none and none can be fetched, one sentence says so', async () => {
  const cache = await mkdtemp(join(tmpdir(), 'carillon-no-chromium-'));
  vi.stubEnv('PATH', '');
  vi.stubEnv('CARILLON_CACHE_DIR', cache);
  await expect(findChromium()).rejects.toMatchObject({
    reason: 'STACK_UNAVAILABLE',
    message:
      "There is no chromium on PATH, and no apt-get to fetch Debian's package with: install Chromium so that chromium is on PATH.",
  });
  await rm(cache, { recursive: true });
});
