// How presence lies in Redis, and what happens to it there in one step: write, renew, withdraw, read.
import type { UserKey } from './presence.ts';

/**
 * One hash for the edges, so that it is there or gone as a whole:
 * `epoch` → `<name> <ms since when>`: since then nothing that was said has been lost, and it could be said all the time;
 * `at` → ms of the latest renewal of any edge;
 * `edge <node>` → `<incarnation> <ms since when it holds the lease> <ms of its renewal> <epoch that it has said all its users in>`,
 * the last of them `gone` once the edge has withdrawn.
 */
export const PRESENCE_KEY = 'presence';
export const GONE = 'gone';
export const EDGE_FIELD = 'edge ';

/** A hash: edge → `<incarnation>:<generation>:<f, b | v<ms>, c<ms>>`: foreground, background; vanished, closed, and when. */
export const userKey = ({ tenant, userId }: UserKey): string => `user:${tenant}\u001f${userId}`;

const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function ms(value) return string.format('%d', value) end`;

// KEYS: presence, users. ARGV: edge, incarnation, ms kept, ms of linger; of each user generation and state. Answers 0 when
// this incarnation does not hold the edge's lease: only the holder writes, so that nothing older undoes something newer.
// What ended is kept for the linger, so that neither a write that comes late nor a reader takes it for never said.
export const WRITE = `${NOW}
local edge, incarnation, kept, linger = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local holder = string.match(redis.call('HGET', KEYS[1], '${EDGE_FIELD}' .. edge) or '', '^(%S+)')
if holder ~= incarnation then return 0 end
for i = 2, #KEYS do
  local key, generation, state = KEYS[i], tonumber(ARGV[2 * i + 1]), ARGV[2 * i + 2]
  local fields, present, stale = redis.call('HGETALL', key), state == 'f' or state == 'b', false
  for n = 1, #fields, 2 do
    local inc, gen, was, at = string.match(fields[n + 1], '^([^:]*):(%d+):(%a)(%d*)$')
    if fields[n] == edge then stale = inc == incarnation and tonumber(gen) > generation
    elseif was == 'f' or was == 'b' then present = true
    elseif now - at > tonumber(linger) then redis.call('HDEL', key, fields[n]) end
  end
  if not stale then
    if state == 'v' or state == 'c' then state = state .. ms(now) end
    redis.call('HSET', key, edge, incarnation .. ':' .. ms(generation) .. ':' .. state)
    redis.call('PEXPIRE', key, present and kept or linger)
  end
end
return 1`;

// ARGV: edge, incarnation, epoch that it has said all in, ms of lease, ms of linger. Answers the epoch, and whether it has the
// lease: a later incarnation has not, while its lease holds.
// A new epoch begins when the store has forgotten, or when no edge has come for a whole lease: then it was away or paused,
// or its clock has jumped, and what edges had to say meanwhile is missing.
export const RENEW = `${NOW}
local field, incarnation, said, lease = '${EDGE_FIELD}' .. ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local fields, presence = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #fields, 2 do presence[fields[i]] = fields[i + 1] end
local epoch, began = string.match(presence.epoch or '', '^(%S+) (%d+)$')
local at = tonumber(presence.at or '0')
if not epoch or now < at or now - at > lease then
  epoch, began = ms(now) .. '.' .. incarnation, ms(now)
  redis.call('HSET', KEYS[1], 'epoch', epoch .. ' ' .. began)
end
redis.call('HSET', KEYS[1], 'at', ms(now))
for other, value in pairs(presence) do
  local renewed = string.match(value, '^%S+ %d+ (%d+)')
  if renewed and now - math.max(renewed, began) > tonumber(ARGV[5]) then redis.call('HDEL', KEYS[1], other) end
end
local holder, since, renewed, ended = string.match(presence[field] or '', '^(%S+) (%d+) (%d+) ?(%S*)$')
local held = holder and ended ~= '${GONE}' and now - math.max(renewed, began) <= lease
if held and holder > incarnation then return { epoch, 0 } end
if holder ~= incarnation then since = ms(now) end
redis.call('HSET', KEYS[1], field, incarnation .. ' ' .. since .. ' ' .. ms(now) .. ' ' .. said)
return { epoch, 1 }`;

// ARGV: edge, incarnation. Its users who have not closed count as vanished now.
export const WITHDRAW = `${NOW}
local field = '${EDGE_FIELD}' .. ARGV[1]
local holder, since = string.match(redis.call('HGET', KEYS[1], field) or '', '^(%S+) (%d+)')
if holder == ARGV[2] then redis.call('HSET', KEYS[1], field, holder .. ' ' .. since .. ' ' .. ms(now) .. ' ${GONE}') end
return 0`;

// KEYS: presence, users. Answers the time in ms, then each key's fields and values in a row.
export const READ = `${NOW}
local answer = { now }
for i, key in ipairs(KEYS) do answer[i + 1] = redis.call('HGETALL', key) end
return answer`;
