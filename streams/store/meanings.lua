-- Write what items' texts mean, and tell readers; items that are not in the catalogue any more are left out.
--
-- KEYS: catalogue, changes, offset, codes, vectors
-- ARGV: 1 item ids kept for readers, 2 msgpack list of the ids, then item_id, code, vector of each
-- Answer: how many were written

local written = 0
for i = 3, #ARGV, 3 do
  if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1 then
    redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 1])
    redis.call('HSET', KEYS[5], ARGV[i], ARGV[i + 2])
    written = written + 1
  end
end
if written > 0 then
  local mark = redis.call('HGET', KEYS[3], 'changes') or '0-0'
  local entries = math.max(1, math.floor(tonumber(ARGV[1]) / ((#ARGV - 2) / 3)))
  mark = redis.call('XADD', KEYS[2], 'MAXLEN', '~', entries, '*', 'prev', mark, 'ids', ARGV[2])
  redis.call('HSET', KEYS[3], 'changes', mark)
end
return written
