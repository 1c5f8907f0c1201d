// A process that says of some users that they are on its edge, for tests that kill it: URL, key prefix, edge, user ids.
import { Activity } from '../gen/carillon/v1/edge_pb.ts';
import { silentLog } from '../runtime/log.ts';
import { RedisPresence } from './presence.redis.ts';

const [url = '', prefix = '', edge = '', ...userIds] = process.argv.slice(2);
const presence = new RedisPresence({ url, prefix, log: silentLog });
for (const userId of userIds) presence.enter({ tenant: 'default', userId }, edge, Activity.FOREGROUND);
