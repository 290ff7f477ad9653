-- Read counter rows as one value: a thousand fields parsed one by one would cost a reader more than the server.
--
-- KEYS: the rows
-- ARGV: their names
-- Answer: msgpack [row, n, n fields, n values, row, ...]

local found = {}
for i, key in ipairs(KEYS) do
  local flat, at = redis.call('HGETALL', key), #found + 2
  local n = #flat / 2
  found[at - 1], found[at] = ARGV[i], n
  for j = 1, n do
    found[at + j] = flat[2 * j - 1]
  end
  for j = 1, n do
    found[at + n + j] = tonumber(flat[2 * j])
  end
end
return cmsgpack.pack(found)
