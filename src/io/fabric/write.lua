-- Changes of a room. KEYS: state, log. ARGV: who writes, its fence, how long the room is kept (ms), whether all goes first,
-- whether it is released, the offset below which entries go; then how many fields are set, and each name and content; how
-- many are deleted, and each name; how many entries come, and each offset and content.
-- Redis refuses a script for want of memory or of a master at its first change, and never after it: that one is of a kind
-- that it refuses.
local state, log, me, fence, keep = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local reset, released, below = ARGV[4] == '1', ARGV[5] == '1', ARGV[6]
local held = redis.call('HMGET', state, 'owner', 'fence')
local missing = not held[1]
if not missing and (held[1] ~= me or held[2] ~= fence) then
  return {'fenced', held[1]}
end
if missing or reset then
  redis.call('HSET', state, 'owner', me, 'fence', fence)
  redis.call('DEL', state, log)
  redis.call('HSET', state, 'owner', me, 'fence', fence)
end
if missing and not reset then
  redis.call('PEXPIRE', state, keep)
  return {'missing'}
end
local at = 7
for _ = 1, tonumber(ARGV[at]) do
  redis.call('HSET', state, ARGV[at + 1], ARGV[at + 2])
  at = at + 2
end
at = at + 1
for _ = 1, tonumber(ARGV[at]) do
  redis.call('HDEL', state, ARGV[at + 1])
  at = at + 1
end
at = at + 1
local entries = tonumber(ARGV[at])
if entries > 0 then
  local last = 0
  if redis.call('EXISTS', log) == 1 then
    local info = redis.call('XINFO', 'STREAM', log)
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then
        last = tonumber(string.match(info[i + 1], '^%d+'))
      end
    end
  end
  for _ = 1, entries do
    local offset = ARGV[at + 1]
    if tonumber(offset) > last then
      redis.call('XADD', log, offset .. '-0', 'e', ARGV[at + 2])
      last = tonumber(offset)
    end
    at = at + 2
  end
end
if below ~= '0' then
  redis.call('XTRIM', log, 'MINID', below)
end
if released then
  redis.call('HSET', state, 'released', '1')
end
redis.call('PEXPIRE', state, keep)
redis.call('PEXPIRE', log, keep)
return {'written'}
