-- What Postgres has decided of a holder's counts, brought to the hot state: see `check.lua` for what a count is.
--
-- KEYS[1]: the holder's hash.
-- ARGV[1]: a flat msgpack array: the time (0: this server's; tests send theirs), what to do, the epoch that it was decided for, then
--   "install": whether an earlier epoch was lost. Makes the holder live with nothing counted, and only if it is not live
--     in this epoch or a newer one: an epoch that came into being twice would count what it was given twice.
--   "raise": field, kind, mark, number of the grant, base, given; again and again. A grant that is not newer changes
--     nothing, so grants may come late, twice and in any order.
--   "lower": field, and how much to leave unspent.
-- Returns: a flat msgpack array: of "install" 1 if it did; of "raise" field, mark and spent of each count that the next mark ended; of
--   "lower" mark, grant and what is given now, or nothing.
local PERIOD = 1
local pack, unpacked = cmsgpack.pack, cmsgpack.unpack
local a = unpacked(ARGV[1])
local time = redis.call('TIME')
local now = a[1] > 0 and a[1] or time[1] * 1000 + math.floor(time[2] / 1000)
local fence = string.match(redis.call('INFO', 'replication'), 'master_replid:(' .. string.rep('%x', 16) .. ')')
local verb, epoch = a[2], a[3]
local meta = redis.call('HGET', KEYS[1], '#')
local written_by, live_epoch, _, generation, generation_at = nil, 0, 0, 0, now
if meta then written_by, live_epoch, _, generation, generation_at = unpacked(meta) end
if written_by ~= fence then live_epoch = 0 end

if verb == 'install' then
  if live_epoch >= epoch then return pack({0}) end
  redis.call('DEL', KEYS[1])
  -- Answers by request id outlive an epoch, in keys of their own: a retry is still a retry.
  redis.call('HSET', KEYS[1], '#', pack(fence, epoch, a[4] == 1 and now or 0, generation, generation_at))
  return pack({1})
end

local out = {}
if live_epoch ~= epoch then return pack(out) end

local function counter(field)
  local value = redis.call('HGET', KEYS[1], field)
  if value then return unpacked(value) end
  return 0, 0, 0, 0, 0, 0
end

if verb == 'raise' then
  for p = 4, #a, 6 do
    local field, kind, mark, grant, base, given = a[p], a[p + 1], a[p + 2], a[p + 3], a[p + 4], a[p + 5]
    local old_mark, old_grant, _, _, spent, held = counter(field)
    if mark > old_mark or mark == old_mark and grant > old_grant then
      if mark > old_mark then
        if old_grant > 0 then
          out[#out + 1], out[#out + 2], out[#out + 3] = field, old_mark, spent
        end
        spent, held = 0, kind == PERIOD and 0 or held
      end
      -- What is used is never below nothing, however the base was settled.
      if type(base) == 'number' then spent = math.max(spent, -base) end
      redis.call('HSET', KEYS[1], field, pack(mark, grant, base, given, spent, held))
    end
  end
elseif verb == 'lower' then
  local mark, grant, base, given, spent, held = counter(a[4])
  local left = spent + held + a[5]
  if grant > 0 and left < given then
    redis.call('HSET', KEYS[1], a[4], pack(mark, grant, base, left, spent, held))
    out = {mark, grant, left}
  end
end
return pack(out)
