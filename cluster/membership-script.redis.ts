// What happens to the members in Redis, in one step: renew, withdraw or restore, find the dead, number the view, say it.

/** One hash: `born`, `number`, `at`, and for each member `<ms when its lease ends> <incarnation> <member as JSON>`. */
export const MESH_KEY = 'mesh';

/** `restore` puts members back into a store that has forgotten them. */
export type MeshOperation = 'look' | 'renew' | 'withdraw' | 'restore';

// In one key, so that it is there or gone as a whole. ARGV: lease in ms, `born` and number that the caller knows, operation;
// then of each member its name, incarnation and JSON. Answers born, number, ms until the next lease ends, and the members
// unless the caller knows this view.
//
// Leases are measured by the time in which somebody could renew them. When nobody came for half a lease the store was
// away, paused, or its clock has jumped; that says nothing about the members, and everybody has a full lease anew.
//
// The number is never less than what a caller has seen: it rises even over a store that has lost its latest writes.
export const MESH_SCRIPT = `
local mesh, lease, knownBorn, known, operation = KEYS[1], tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local fields, members = redis.call('HGETALL', mesh), {}
for i = 1, #fields, 2 do members[fields[i]] = fields[i + 1] end
local born = members.born or string.format('%d', now)
local number, at = tonumber(members.number or '0'), tonumber(members.at or now)
members.born, members.number, members.at = nil, nil, nil
local changed, ends = known > number, string.format('%d', now + lease)

for i = 5, #ARGV, 3 do
  local key, incarnation, member = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local holder, was = string.match(members[key] or '', '^%d+ (%S+) (.*)$')
  local value
  if operation == 'renew' and (not holder or holder <= incarnation) then
    value = ends .. ' ' .. incarnation .. ' ' .. member
    changed = changed or was ~= member
  elseif operation == 'restore' and not holder and now - born <= lease then
    value = ends .. ' ' .. incarnation .. ' ' .. member
    changed = true
  elseif operation == 'withdraw' and holder == incarnation then
    members[key] = nil
    redis.call('HDEL', mesh, key)
    changed = true
  end
  if value then
    members[key] = value
    redis.call('HSET', mesh, key, value)
  end
end

local away, nextMs = now < at or now - at > lease / 2, lease
for key, value in pairs(members) do
  local leaseEnds, said = string.match(value, '^(%d+) (.*)$')
  if away then
    redis.call('HSET', mesh, key, ends .. ' ' .. said)
  elseif tonumber(leaseEnds) <= now then
    members[key] = nil
    redis.call('HDEL', mesh, key)
    changed = true
  else
    nextMs = math.min(nextMs, leaseEnds - now)
  end
end

number = math.max(number, known)
if changed then number = number + 1 end
local name = string.format('%d', number)
redis.call('HSET', mesh, 'born', born, 'number', name, 'at', string.format('%d', now))
if changed then redis.call('PUBLISH', mesh, name) end
local answer = { born, name, nextMs }
if born ~= knownBorn or number ~= known then
  for _, value in pairs(members) do answer[#answer + 1] = string.match(value, '^%d+ %S+ (.*)$') end
end
return answer`;
