-- A room has ended. KEYS: state, log. ARGV: who says so, the number of the call, its fence.
local held = redis.call('HMGET', KEYS[1], 'owner', 'fence', 'seq', 'branches')
if not held[1] then
  return {'missing'}
end
if held[1] ~= ARGV[1] or held[2] ~= ARGV[3] or tonumber(held[3] or '0') >= tonumber(ARGV[2]) then
  return {'fenced', held[1]}
end
if tonumber(held[4] or '0') > 0 then
  -- whoever wants the room next goes on with what lies beside it
  redis.call('HSET', KEYS[1], 'fence', ARGV[2], 'seq', ARGV[2], 'released', '1', 'edition', '0')
  local own = {owner = true, fence = true, seq = true, edition = true, released = true, branches = true}
  for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(name, 1, 2) ~= 'b:' and not own[name] then
      redis.call('HDEL', KEYS[1], name)
    end
  end
  redis.call('UNLINK', KEYS[2])
  return {'branched'}
end
redis.call('UNLINK', KEYS[1], KEYS[2])
return {'written'}
