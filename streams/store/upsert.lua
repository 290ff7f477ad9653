-- Write catalogue changes up to an offset of a partition of `items`, unless that was done before.
--
-- KEYS: catalogue, changes, offset, codes, vectors
-- ARGV: 1 epoch, 2 partition, 3 offset, 4 item ids kept for readers, 5 number of ids, 6 msgpack list of the ids,
--       7 number of items to set, then item_id, JSON of each, then the item_ids to delete
-- Answer: 1 written, 0 done before (or a newer epoch has begun, of which this writer doesn't know).

local SLICE = 4000 -- even, so that a pair is never cut; Lua's unpack overflows its stack at about 8,000 values

local field = ARGV[1] .. ':' .. ARGV[2]
local stored = redis.call('HMGET', KEYS[3], 'epoch', field, 'changes')
if stored[1] and tonumber(stored[1]) > tonumber(ARGV[1]) then return 0 end
if stored[2] and tonumber(stored[2]) >= tonumber(ARGV[3]) then return 0 end

local function in_slices(command, key, from, to)
  for i = from, to, SLICE do
    redis.call(command, key, unpack(ARGV, i, math.min(i + SLICE - 1, to)))
  end
end

local pairs_end = 7 + 2 * tonumber(ARGV[7])
in_slices('HSET', KEYS[1], 8, pairs_end)
for _, key in ipairs({KEYS[1], KEYS[4], KEYS[5]}) do
  in_slices('HDEL', key, pairs_end + 1, #ARGV)
end

local mark, count = stored[3] or '0-0', tonumber(ARGV[5])
if count > 0 then
  local entries = math.max(1, math.floor(tonumber(ARGV[4]) / count))
  mark = redis.call('XADD', KEYS[2], 'MAXLEN', '~', entries, '*', 'prev', mark, 'ids', ARGV[6])
end
redis.call('HSET', KEYS[3], 'epoch', ARGV[1], field, ARGV[3], 'changes', mark)
return 1
