-- The lease of a model's trainer: one holder at a time, known by a number that only grows.
--
-- KEYS: lease, highest number
-- ARGV: 'take', ms it lasts | 'renew', number, ms it lasts | 'release', number
-- Answer: the holder's number, 0 if the lease is somebody else's.

if ARGV[1] == 'take' then
  if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
  local number = redis.call('INCR', KEYS[2])
  redis.call('SET', KEYS[1], number, 'PX', ARGV[2])
  return number
end

if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
if ARGV[1] == 'renew' then redis.call('PEXPIRE', KEYS[1], ARGV[3]) else redis.call('DEL', KEYS[1]) end
return tonumber(ARGV[2])
