-- A branch is put beside a room. KEYS: state, log. ARGV: who puts it there, the number of the call, its name, what the names of those
-- begin with in whose place it comes, how many of others there may be, how long the room is kept (ms), the branch.
local state, me, seq, name, instead, most = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local there = tonumber(redis.call('HGET', state, 'branches') or '0')
local before = {}
if there > 0 then
  for _, other in ipairs(redis.call('HKEYS', state)) do
    if string.sub(other, 1, #instead) == instead then
      table.insert(before, other)
    end
  end
end
if there - #before >= most then
  return {'full'}
end
if redis.call('HEXISTS', state, 'owner') == 0 then
  -- it is all there is of the room, for whoever wants it
  redis.call('HSET', state, 'owner', me, 'fence', seq, 'seq', seq, 'released', '1')
  redis.call('DEL', KEYS[2])
end
redis.call('HSET', state, name, ARGV[7])
for _, other in ipairs(before) do
  if other ~= name then
    redis.call('HDEL', state, other)
  end
end
redis.call('HSET', state, 'branches', there - #before + 1)
redis.call('PEXPIRE', state, ARGV[6])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
return {'put'}
