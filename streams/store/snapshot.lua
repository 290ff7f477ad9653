-- Replaces the online model's version by the next one, if nobody else did; a repeat by the same writer is one, too.
-- KEYS: pointer, the new snapshot, what is saved, the oldest snapshot; ARGV: version before, version, writer, snapshot, saved
local now = redis.call('HMGET', KEYS[1], 'version', 'writer')
if now[1] == ARGV[2] and now[2] == ARGV[3] then return 1 end
if (now[1] or '0') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[4])
redis.call('SET', KEYS[3], ARGV[5])
redis.call('DEL', KEYS[4])
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'writer', ARGV[3])
return 1
