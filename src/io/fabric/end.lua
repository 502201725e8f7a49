-- A room has ended. KEYS: state, log. ARGV: who says so, the number of the call, its fence.
local held = redis.call('HMGET', KEYS[1], 'owner', 'fence', 'seq')
if not held[1] then
  return {'missing'}
end
if held[1] ~= ARGV[1] or held[2] ~= ARGV[3] or tonumber(held[3] or '0') >= tonumber(ARGV[2]) then
  return {'fenced', held[1]}
end
redis.call('UNLINK', KEYS[1], KEYS[2])
return {'written'}
