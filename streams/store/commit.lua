-- Commit one micro-batch of one partition: everything, or nothing.
--
-- KEYS: offset, out, stats, touched, rows, delta, open, then the keys of states and ledgers to set, then those to erase
-- ARGV: 1 believed epoch, 2 believed offset, 3 epoch, 4 offset, 5 watermark_ms, 6 applied, 7 token,
--       8 state TTL in seconds, 9 "1" to prune, 10 row limit, 11 row keep, 12 counter values kept for readers,
--       13 key prefix of counter rows, 14 counts: msgpack [row, n, n fields, n increments, row, ...],
--       15 stats: msgpack {name: increment}, 16 outbox or "", 17 opened: msgpack [slate, what is said of it, ...],
--       18 closed: msgpack [slate, ...], 19 number of keys to set, then their values
-- Answer: {0 applied | 1 fenced, epoch, offset, watermark_ms, applied}, the last four as stored, absent if nothing is.
--
-- Writes begin once everything is decoded, and the position is written last: an error can't leave half a commit.

local SLICE = 4000 -- Lua's unpack overflows its stack at about 8,000 values
local PROBES = 100 -- rows looked at in each prune, to forget those that expired

local offset_key, touched_key, rows_key, delta_key = KEYS[1], KEYS[4], KEYS[5], KEYS[6]
local ttl, row_prefix = ARGV[8], ARGV[13]

local stored = redis.call('HMGET', offset_key, 'epoch', 'offset', 'watermark_ms', 'applied', 'token', 'delta')

local function answer(fenced)
  if not stored[1] then return {fenced} end
  return {fenced, stored[1], stored[2], stored[3], stored[4]}
end

if stored[1] == ARGV[3] and stored[2] == ARGV[4] and stored[5] == ARGV[7] then
  return answer(0) -- it had succeeded; only the answer was lost
end
if stored[1] ~= ARGV[1] or stored[2] ~= ARGV[2] then
  local first = ARGV[2] == '-1' and (not stored[1] or tonumber(stored[1]) < tonumber(ARGV[1]))
  if not first then return answer(1) end
end

local counts, stats = cmsgpack.unpack(ARGV[14]), cmsgpack.unpack(ARGV[15])
local opened, closed = cmsgpack.unpack(ARGV[17]), cmsgpack.unpack(ARGV[18])
local pruned, size = {}, 0 -- like counts, with value 0; and how many values readers are told about

local function in_slices(command, key, values)
  for from = 1, #values, SLICE do
    redis.call(command, key, unpack(values, from, math.min(from + SLICE - 1, #values)))
  end
end

local function bytes_before(a, b) -- Lua's < on strings follows the server's locale
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

local function newer(a, b)
  if a.bucket ~= b.bucket then return a.bucket > b.bucket end
  if a.value ~= b.value then return a.value > b.value end
  return bytes_before(a.field, b.field)
end

local function bucket_of(field)
  local sign, digits = string.match(field, '^(%-?)(%d+):')
  return digits and #digits <= 15 and tonumber(sign .. digits) or 0
end

local function prune_row(row)
  local key = row_prefix .. row
  if redis.call('HLEN', key) > tonumber(ARGV[10]) then
    local flat, all, gone = redis.call('HGETALL', key), {}, {}
    for i = 1, #flat, 2 do
      all[#all + 1] = {field = flat[i], bucket = bucket_of(flat[i]), value = tonumber(flat[i + 1])}
    end
    table.sort(all, newer)
    for i = tonumber(ARGV[11]) + 1, #all do gone[#gone + 1] = all[i].field end
    in_slices('HDEL', key, gone)
    pruned[#pruned + 1], pruned[#pruned + 2] = row, #gone
    for _, field in ipairs(gone) do pruned[#pruned + 1] = field end
    for _ = 1, #gone do pruned[#pruned + 1] = 0 end
    size = size + #gone
  end
  redis.call('EXPIRE', key, ttl)
end

if ARGV[9] == '1' then
  local rows = redis.call('SMEMBERS', touched_key)
  for _, row in ipairs(rows) do prune_row(row) end
  in_slices('SADD', rows_key, rows)
  redis.call('DEL', touched_key)
  for _, row in ipairs(redis.call('SRANDMEMBER', rows_key, PROBES)) do
    if redis.call('EXISTS', row_prefix .. row) == 0 then redis.call('SREM', rows_key, row) end
  end
end

local held = tonumber(ARGV[19])
for i = 1, held do redis.call('SET', KEYS[7 + i], ARGV[19 + i], 'EX', ttl) end
for i = 8 + held, #KEYS do redis.call('DEL', KEYS[i]) end
in_slices('HSET', KEYS[7], opened)
in_slices('HDEL', KEYS[7], closed)

local pairs_of_slice = {}
local function add_many(key, first, last, n) -- one read and one write cost less than a HINCRBY for each of many fields
  for from = first, last, SLICE / 2 do
    local to = math.min(from + SLICE / 2 - 1, last)
    local old = redis.call('HMGET', key, unpack(counts, from, to))
    for i = from, to do
      local place, value = i - from + 1, counts[i + n]
      value = value + (old[place] or 0)
      counts[i + n] = value
      pairs_of_slice[2 * place - 1], pairs_of_slice[2 * place] = counts[i], value
    end
    redis.call('HSET', key, unpack(pairs_of_slice, 1, 2 * (to - from + 1)))
  end
end

local touched, at = {}, 1
while at <= #counts do
  local row, n = counts[at], counts[at + 1]
  local key, first, last = row_prefix .. row, at + 2, at + 1 + n
  if n > 2 then
    add_many(key, first, last, n)
  else
    for i = first, last do counts[i + n] = redis.call('HINCRBY', key, counts[i], counts[i + n]) end
  end
  touched[#touched + 1] = row
  size, at = size + n, last + n + 1
end
in_slices('SADD', touched_key, touched)
for stat, increment in pairs(stats) do redis.call('HINCRBY', KEYS[3], stat, increment) end

if ARGV[16] == '' then redis.call('DEL', KEYS[2]) else redis.call('SET', KEYS[2], ARGV[16]) end

local delta = stored[6] or '0-0'
if size > 0 then
  local entries = math.max(1, math.floor(tonumber(ARGV[12]) / size))
  delta = redis.call('XADD', delta_key, 'MAXLEN', '~', entries, '*', 'prev', delta,
    'pruned', cmsgpack.pack(pruned), 'values', cmsgpack.pack(counts))
end
redis.call('HSET', offset_key, 'epoch', ARGV[3], 'offset', ARGV[4], 'watermark_ms', ARGV[5], 'applied', ARGV[6],
  'token', ARGV[7], 'delta', delta)
stored = {ARGV[3], ARGV[4], ARGV[5], ARGV[6]}
return answer(0)
