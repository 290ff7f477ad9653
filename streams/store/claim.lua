-- Claim the namespace, or compare it with what is there; give each topic its epoch.
--
-- KEYS: meta
-- ARGV: partitions, fold version, then name and id of each topic
-- Answer: {partitions, fold version} as stored, then the epoch of each topic if both are as given.

local stored = redis.call('HMGET', KEYS[1], 'partitions', 'fold_version')
if not stored[1] then
  redis.call('HSET', KEYS[1], 'partitions', ARGV[1], 'fold_version', ARGV[2])
  stored = {ARGV[1], ARGV[2]}
end
local answer = {stored[1], stored[2]}
if stored[1] ~= ARGV[1] or stored[2] ~= ARGV[2] then return answer end

for i = 3, #ARGV, 2 do
  local id_field, epoch_field = 'id:' .. ARGV[i], 'epoch:' .. ARGV[i]
  local known = redis.call('HMGET', KEYS[1], id_field, epoch_field)
  local epoch = tonumber(known[2] or '0')
  if known[1] and known[1] ~= ARGV[i + 1] then epoch = epoch + 1 end
  redis.call('HSET', KEYS[1], id_field, ARGV[i + 1], epoch_field, epoch)
  answer[#answer + 1] = epoch
end
return answer
