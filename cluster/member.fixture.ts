// A process that is a member of a mesh and nothing else, for tests that kill and pause it: URL, key prefix, member as JSON.
import { silentLog } from '../runtime/log.ts';
import { RedisMembership } from './membership.redis.ts';
import type { Member } from './membership.ts';

const [url = '', prefix = '', member = ''] = process.argv.slice(2);
const membership = new RedisMembership({ url, prefix, log: silentLog });
const announced = await membership.announce(JSON.parse(member) as Member);
process.once('SIGTERM', async () => {
  await announced[Symbol.asyncDispose]();
  await membership[Symbol.asyncDispose]();
});
