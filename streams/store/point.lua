-- Move a model's pointer, if it is still where the mover believes it to be.
--
-- KEYS: pointer, history, lease of the trainer
-- ARGV: believed revision ('0' for no pointer yet), new revision, lineup, history entries kept, number of the lease that
--       the mover must hold ('' for an operator, who needs none), then events
-- Answer: 1 if it moved, 0 if somebody else was first, -1 if the lease is another's.

if ARGV[5] ~= '' and redis.call('GET', KEYS[3]) ~= ARGV[5] then return -1 end
local revision = redis.call('HGET', KEYS[1], 'revision') or '0'
if revision ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'revision', ARGV[2], 'lineup', ARGV[3])
for i = 6, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[i]) end
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[4]), -1)
return 1
