-- Move a model's pointer, if it is still where the mover believes it to be.
--
-- KEYS: pointer, history
-- ARGV: believed revision ('0' for no pointer yet), new revision, lineup, history entries kept, then events
-- Answer: 1 if it moved, 0 if somebody else was first.

local revision = redis.call('HGET', KEYS[1], 'revision') or '0'
if revision ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'revision', ARGV[2], 'lineup', ARGV[3])
for i = 5, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[i]) end
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[4]), -1)
return 1
