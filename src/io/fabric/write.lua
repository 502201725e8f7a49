-- Changes of a room. KEYS: state, log. ARGV: who writes, the number of the call, its fence, how long the room is kept (ms),
-- whether all goes first, whether it is released, the offset below which entries go, the number of this write, and of the one
-- that its router knows to stand, whether it changes nothing where a later one stands; then how many fields are set, and each
-- name and content; how many are deleted, and each name; how many entries come, and each offset and content.
-- Redis refuses a script for want of memory or of a master at its first change, and never after it: that one is of a kind
-- that it refuses.
local state, log, me, seq, fence, keep = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local reset, released, below = ARGV[5] == '1', ARGV[6] == '1', ARGV[7]
local edition, after = ARGV[8], tonumber(ARGV[9])
local held = redis.call('HMGET', state, 'owner', 'fence', 'seq', 'edition', 'branches', 'last')
local branches = tonumber(held[5] or '0')
local missing = not held[1]
-- the last: one that was under way for so long that a later one came before it
if not missing and (held[1] ~= me or held[2] ~= fence or tonumber(held[3] or '0') >= tonumber(seq)) then
  return {'fenced', held[1]}
end
-- it came before, and more has come since
if not missing and ARGV[10] == '1' and tonumber(held[4] or '0') > tonumber(edition) then
  redis.call('HSET', state, 'seq', seq)
  return {'written'}
end
-- a replica that took its master's place had not heard of it
if not missing and not reset and tonumber(held[4] or '0') < after then
  return {'missing'}
end
if missing or reset then
  redis.call('HSET', state, 'seq', seq)
  if branches > 0 then
    -- what lies beside the room stays
    for _, name in ipairs(redis.call('HKEYS', state)) do
      if string.sub(name, 1, 2) ~= 'b:' and name ~= 'branches' then
        redis.call('HDEL', state, name)
      end
    end
    redis.call('DEL', log)
  else
    redis.call('DEL', state, log)
  end
end
if missing and not reset then
  redis.call('HSET', state, 'owner', me, 'fence', fence, 'seq', seq)
  redis.call('PEXPIRE', state, keep)
  return {'missing'}
end
-- of the newest entry; whoever took the room finds it out once, as a router of an older build may have written since
local last = tonumber(held[6] or '0')
if missing or reset then
  last = 0
elseif not held[6] and redis.call('EXISTS', log) == 1 then
  local info = redis.call('XINFO', 'STREAM', log)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      last = tonumber(string.match(info[i + 1], '^%d+'))
    end
  end
end
local set = {'owner', me, 'fence', fence, 'seq', seq, 'edition', edition}
if released then
  set[#set + 1] = 'released'
  set[#set + 1] = '1'
end
local at = 11
for i = at + 1, at + 2 * tonumber(ARGV[at]) do
  set[#set + 1] = ARGV[i]
end
at = at + 1 + 2 * tonumber(ARGV[at])
-- behind the fields that go, and their number
local log_at = at + 1 + tonumber(ARGV[at])
local entries = tonumber(ARGV[log_at])
if entries > 0 then
  local newest = tonumber(ARGV[log_at + 2 * entries - 1])
  set[#set + 1] = 'last'
  set[#set + 1] = string.format('%.0f', math.max(last, newest))
end
-- a call takes some thousands of values
for from = 1, #set, 1000 do
  redis.call('HSET', state, unpack(set, from, math.min(from + 999, #set)))
end
for i = at + 1, at + tonumber(ARGV[at]) do
  local gone = redis.call('HDEL', state, ARGV[i])
  if gone == 1 and string.sub(ARGV[i], 1, 2) == 'b:' then
    branches = redis.call('HINCRBY', state, 'branches', -1)
  end
end
for i = log_at + 1, log_at + 2 * entries, 2 do
  if tonumber(ARGV[i]) > last then
    redis.call('XADD', log, ARGV[i] .. '-0', 'e', ARGV[i + 1])
  end
end
if below ~= '0' then
  redis.call('XTRIM', log, 'MINID', below)
end
redis.call('PEXPIRE', state, keep)
redis.call('PEXPIRE', log, keep)
if branches > 0 then
  return {'branched'}
end
return {'written'}
