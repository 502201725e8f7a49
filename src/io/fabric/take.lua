-- A room is taken. KEYS: state, log. ARGV: who takes it, the number of the call, whether from anybody (1) or not (0), how long it
-- is kept (ms).
local state, log, me, seq, force, keep = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local owner = redis.call('HGET', state, 'owner')
if not owner then
  -- a number that it never was: what a replica brings back of before the room was lost is not taken for what is made now
  redis.call('HSET', state, 'owner', me, 'fence', seq, 'seq', seq)
  -- the rest of a room whose state was lost
  redis.call('DEL', log)
  redis.call('PEXPIRE', state, keep)
  return {'nothing', seq}
end
if owner ~= me then
  if force ~= '1' and redis.call('HEXISTS', state, 'released') == 0 then
    return {'held', owner}
  end
  -- its writes are numbered by its own clock; more than that of a room of which nothing was written, or is there any more
  redis.call('HSET', state, 'owner', me, 'edition', '1')
  redis.call('HINCRBY', state, 'fence', 1)
end
redis.call('HSET', state, 'seq', seq)
redis.call('HDEL', state, 'released', 'last')
redis.call('PEXPIRE', state, keep)
redis.call('PEXPIRE', log, keep)
return {'kept', redis.call('HGET', state, 'fence'), redis.call('HGETALL', state), redis.call('XRANGE', log, '-', '+')}
