-- Decides a batch of quota checks: several limits at once, all or nothing, in one step that nothing can come between.
--
-- A holder (a tenant or an integrator) has one hash. Its field "#" says which Redis wrote it (the fence) and in which
-- epoch; every other field is the count of one limit. A hash that is missing or has another fence was lost, or comes from
-- a replica or a dump that is behind: nothing in it counts. The script then answers "cold" for whatever touches the holder,
-- and only `allot.lua` may make it live again, in a new epoch that Postgres has counted first.
--
-- A count of a period or a gauge is small and relative: Postgres has given away `base` in earlier epochs and `given` in
-- this one, all of it durably and before it was used here. So losing this hash can strand what was given and not yet spent,
-- and can never give anything twice. Where `given` is too small but the cap allows more, the answer says so, and the server
-- has Postgres give another block. Numbers below 2^53 are exact in Lua; larger ones (`base`, caps) are decimal texts.
--
-- Rates live here alone. GCRA keeps its level as whole tokens and a remainder over the window, a sliding window keeps two
-- counters: both without rounding. Windows are at most a day, so products of two remainders stay below 2^53. After a loss
-- a strict rate starts empty-handed, and strict slots are only extended until all lost ones have expired.
--
-- Every kind is brought into the same three numbers: what is used, what may be used by what was given, and by the cap. The
-- loop over the runs knows nothing else. A run is one check, or several identical ones, of which the first ones pass.
-- Everything is read first and written last.
--
-- KEYS: the holders' hashes, then the sorted sets of slots and the hashes of request ids, as ARGV refers to them.
-- ARGV[1]: a flat msgpack array: the time (0: this server's; tests send theirs), number of holders, of limits, then each limit, then each run.
-- Returns: a flat msgpack array: now, fence, each holder's epoch (0: cold), each limit, each run. `wire.ts` has both.
local MAX = 9007199254740991
local PERIOD, GAUGE, GCRA, SLIDING, SLOTS = 1, 2, 3, 4, 5
local CHECK_ONLY, BEST_EFFORT, FORCE, HOLD, RESOLVE, RELEASE, TAKE_GIVEN, COUNT_ANYHOW = 2, 3, 4, 5, 6, 7, 8, 9
local WITH_ID = 16
local COLD, REPLAYED, REUSED, MOVED, FULL = -1, -2, -3, -4, -5
-- Request ids are remembered for one to two generations; a generation of more ids than this takes no new ones.
local GENERATION_MS, GENERATION_IDS = 300000, 2000000

local pack, unpacked, floor, min, max = cmsgpack.pack, cmsgpack.unpack, math.floor, math.min, math.max
local a = unpacked(ARGV[1])
local time = redis.call('TIME')
local now = a[1] > 0 and a[1] or time[1] * 1000 + floor(time[2] / 1000)
local fence = string.match(redis.call('INFO', 'replication'), 'master_replid:(' .. string.rep('%x', 16) .. ')')
local out, o, p = {now, fence}, 2, 3

-- The difference of two amounts, cut to what Lua can hold.
local function difference(x, y)
  if type(x) == 'number' and type(y) == 'number' then return x - y end
  local function halves(v)
    local text = type(v) == 'number' and string.format('%.0f', v) or v
    return tonumber(string.sub(text, 1, -10)) or 0, tonumber(string.sub(text, -9))
  end
  local xh, xl = halves(x)
  local yh, yl = halves(y)
  if xh - yh > 9007198 then return MAX elseif xh - yh < -9007198 then return -MAX end
  return (xh - yh) * 1000000000 + xl - yl
end

-- Of each limit: what is used, what of it may be by what was given and by the cap, and where counting stops (soft rates).
local kind, holder, field, used, given, cap, top, changed = {}, {}, {}, {}, {}, {}, {}, {}
-- The parts of its count; `load` says which.
local s1, s2, s3, s4, s5, s6 = {}, {}, {}, {}, {}, {}

local function load_allotted(i, value, start, limit)
  local mark, grant, base, g, spent, held = start, 0, 0, 0, 0, 0
  if value then mark, grant, base, g, spent, held = unpacked(value) end
  -- The next period begins with nothing given. A server whose clock is behind counts in the period that runs.
  if mark < start then mark, grant, base, g, spent, held = start, 0, 0, 0, 0, 0 end
  s1[i], s2[i], s3[i], s4[i], s5[i], s6[i] = mark, grant, base, g, spent, held
  used[i], given[i], cap[i] = spent + held, g, difference(limit, base)
end

local function load_rate(i, limit, soft)
  top[i] = limit
  if soft == 1 then limit = MAX end
  given[i], cap[i] = limit, limit
end

-- Kind by kind: takes a limit's arguments and its stored count.
local load = {
  -- The period's start, the number of its newest grant, base, given, spent, held.
  [PERIOD] = function(i, value)
    load_allotted(i, value, a[p + 1], a[p + 2])
    p = p + 2
  end,
  -- The same, with the time of the newest observation in the place of the start.
  [GAUGE] = function(i, value)
    load_allotted(i, value, 0, a[p + 1])
    p = p + 1
  end,
  -- A remainder over the window and a time, and in `used` the level in whole tokens. It leaks `amount` a window.
  [GCRA] = function(i, value, cold_at)
    local window, amount, limit, soft, strict = a[p + 1], a[p + 2], a[p + 3], a[p + 4], a[p + 5]
    p = p + 5
    local level, rest, at = 0, 0, now
    if value then level, rest, at = unpacked(value)
    elseif strict == 1 and cold_at > 0 then level, at = limit, cold_at end
    local elapsed = max(0, now - at)
    local windows = floor(elapsed / window)
    if level < windows * amount then
      level, rest = 0, 0
    else
      local ms = elapsed - windows * window
      local part = (amount % window) * ms
      level = level - windows * amount - floor(amount / window) * ms - floor(part / window)
      rest = rest - part % window
      if rest < 0 then level, rest = level - 1, rest + window end
      if level < 0 then level, rest = 0, 0 end
    end
    s1[i], s2[i] = rest, max(now, at)
    used[i] = level + (rest > 0 and 1 or 0)
    load_rate(i, limit, soft)
  end,
  -- The running window's start, the count of the window before, and what is left of it as the window passes, rounded up.
  [SLIDING] = function(i, value, cold_at)
    local window, limit, soft, strict = a[p + 1], a[p + 2], a[p + 3], a[p + 4]
    p = p + 4
    local start = now - now % window
    local from, count, before = start, 0, 0
    if value then from, count, before = unpacked(value)
    elseif strict == 1 and cold_at > 0 then from, count = cold_at - cold_at % window, limit end
    if from >= start then start = from
    elseif from == start - window then count, before = 0, count
    else count, before = 0, 0 end
    local left = window - max(0, now - start)
    local faded = floor(before / window) * left + math.ceil((before % window) * left / window)
    s1[i], s2[i], s3[i] = start, before, faded
    used[i] = count + faded
    load_rate(i, limit, soft)
  end,
  -- Until when only held slots are extended, their time to live, their sorted set by expiry, and when slots were last lost.
  [SLOTS] = function(i, value, cold_at)
    local limit, ttl, key, soft, strict = a[p + 1], a[p + 2], KEYS[a[p + 3]], a[p + 4], a[p + 5]
    p = p + 5
    local count, lost_at = 0, cold_at
    if value then count, lost_at = unpacked(value) end
    local found = redis.call('ZCARD', key)
    -- A set that differs from what was written last was lost by itself.
    if found ~= count then lost_at = now end
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    used[i] = redis.call('ZCARD', key)
    s1[i], s2[i], s3[i], s4[i] = strict == 1 and lost_at > 0 and lost_at + ttl or 0, ttl, key, lost_at
    load_rate(i, limit, soft)
    changed[i] = used[i] ~= count or found ~= count
  end,
}

local epoch, cold_at, generation, generation_at, any_cold = {}, {}, {}, {}, false

-- Reads every holder's hash once, then each limit of it.
local function load_all()
  local holders, limits, wanted, place, start = a[2], a[3], {}, {}, p
  for h = 1, holders do wanted[h] = {'#'} end
  -- Each limit: its length, kind, holder, field, and what its kind needs.
  for i = 1, limits do
    local h, fields = a[p + 3], wanted[a[p + 3]]
    kind[i], holder[i], field[i] = a[p + 2], h, a[p + 4]
    fields[#fields + 1] = a[p + 4]
    place[i] = #fields
    p = p + a[p + 1]
  end
  local values = {}
  for h = 1, holders do
    values[h] = redis.call('HMGET', KEYS[h], unpack(wanted[h]))
    local meta, written_by = values[h][1], nil
    epoch[h] = 0
    if meta then written_by, epoch[h], cold_at[h], generation[h], generation_at[h] = unpacked(meta) end
    if written_by ~= fence then epoch[h], cold_at[h], values[h], any_cold = 0, 0, {}, true end
    o = o + 1
    out[o] = epoch[h]
  end
  p = start
  for i = 1, limits do
    p = p + 4
    load[kind[i]](i, values[holder[i]][place[i]] or nil, cold_at[holder[i]])
    local known = kind[i] == GCRA and 1 or kind[i] == SLOTS and 1 or kind[i] == SLIDING and 3 or 4
    out[o + 1], out[o + 2], out[o + 3], out[o + 4] = s1[i], s2[i], s3[i], s4[i]
    for k = o + known + 1, o + 4 do out[k] = nil end
    o = o + known
  end
end

-- Tells what a part found: what was used before, and what was held; of slots, when the next one expires, or -1 when the one
-- asked for is held.
local function tell(i, slot)
  out[o + 1], out[o + 2] = used[i], 0
  if kind[i] <= GAUGE then
    out[o + 1], out[o + 2] = s5[i], s6[i]
  elseif kind[i] == SLOTS then
    local first = redis.call('ZRANGE', s3[i], 0, 0, 'WITHSCORES')[2]
    out[o + 2] = redis.call('ZSCORE', s3[i], slot) and -1 or tonumber(first) or 0
  end
  o = o + 2
end

-- Counts an amount. A slot that is held is only extended. What a soft rate lets pass beyond its end is not counted: it
-- tells what would have been refused, and would never come below its end again.
local function add(i, amount, slot, mode)
  if amount == 0 then return end
  if kind[i] == SLOTS then
    amount = redis.call('ZADD', s3[i], now + s2[i], slot)
  elseif kind[i] <= GAUGE then
    if mode == HOLD then s6[i] = s6[i] + amount else s5[i] = min(MAX, s5[i] + amount) end
  elseif mode ~= FORCE and mode ~= COUNT_ANYHOW and cap[i] == MAX and used[i] + amount > top[i] then
    return
  end
  used[i] = min(MAX, used[i] + amount)
  changed[i] = true
end

-- How much of a limit is free, by what was given and by the cap.
local function free_of(i, slot, mode)
  if mode == COUNT_ANYHOW then return MAX, MAX end
  if kind[i] <= GAUGE then
    local room = mode == FORCE and MAX or cap[i] - used[i]
    -- A count that no grant has reached yet does not know its base.
    if s2[i] == 0 then return -1, room end
    if mode == CHECK_ONLY then return room, room end
    return given[i] - used[i], room
  end
  if mode == FORCE or kind[i] == SLOTS and redis.call('ZSCORE', s3[i], slot) then return MAX, MAX end
  local free = kind[i] == SLOTS and s1[i] > now and 0 or cap[i] - used[i]
  return free, free
end

-- How often a cost fits. Nothing always fits, unless more is used already.
local function times(free, cost, count)
  if cost == 0 then return free >= 0 and count or 0 end
  return max(0, min(count, floor(free / cost)))
end

-- Admits as many of `count` identical checks as fit by what was given, and tells how many would fit by the cap.
local function admit(mode, count, parts, width)
  local fit, cap_fit = count, count
  for q = p + 1, p + parts * width, width do
    local free, room = free_of(a[q], a[q + 2], mode)
    fit, cap_fit = min(fit, times(free, a[q + 1], count)), min(cap_fit, times(room, a[q + 1], count))
  end
  fit = min(fit, cap_fit)
  out[o + 1], out[o + 2] = fit, cap_fit
  o = o + 2
  for q = p + 1, p + parts * width, width do
    tell(a[q], a[q + 2])
    if fit > 0 and mode ~= CHECK_ONLY then add(a[q], fit * a[q + 1], a[q + 2], mode) end
  end
  return fit > 0 and mode ~= CHECK_ONLY
end

-- Admits of each entry as much as all of its limits have. The parts of an entry are neighbours; the third value tells them
-- apart, or names the slot. Unless it is content with what was given, all entries wait for a grant that one of them needs.
local function admit_some(mode, parts)
  local amounts, complete, some, q, last = {}, 1, false, p + 1, p + parts * 3
  while q < last do
    local entry, from, amount, room = a[q + 2], q, a[q + 1], a[q + 1]
    while q < last and a[q + 2] == entry do
      local free, cap_free = free_of(a[q], entry, mode)
      amount, room = max(0, min(amount, free)), max(0, min(room, cap_free))
      q = q + 3
    end
    if amount < room and mode == BEST_EFFORT then complete = 0 end
    for r = from, q - 3, 3 do amounts[r] = amount end
    some = some or amount > 0
  end
  out[o + 1], out[o + 2] = complete, 1
  o = o + 2
  for r = p + 1, last, 3 do
    tell(a[r], a[r + 2])
    o = o + 1
    out[o] = amounts[r]
    if complete == 1 and amounts[r] > 0 then add(a[r], amounts[r], a[r + 2], mode) end
  end
  return complete == 1 and some
end

-- Tells whether the holder's count is still the one that a part was taken from. An observation of a gauge leaves what is
-- held as it is, so it is no other count to whoever holds some of it.
local function is_same(q, holds)
  local i = a[q]
  local any_mark = kind[i] > GAUGE or holds and kind[i] == GAUGE
  return a[q + 3] == 0 or a[q + 3] == epoch[holder[i]] and (any_mark or a[q + 4] == s1[i])
end

-- Sets amounts aside, only in the epoch and period that Postgres has written down for the reservation already.
local function hold(id, parts)
  for q = p + 1, p + parts * 5, 5 do
    if not is_same(q, true) then
      o = o + 1
      out[o] = MOVED
      return
    end
  end
  if not admit(HOLD, 1, parts, 5) then return end
  for q = p + 1, p + parts * 5, 5 do redis.call('HSET', KEYS[holder[a[q]]], id, 1) end
end

-- Takes an amount away, at most down to nothing used.
local function subtract(i, amount, slot)
  if kind[i] == SLOTS then
    amount = redis.call('ZREM', s3[i], slot)
  elseif kind[i] <= GAUGE then
    if type(s3[i]) == 'number' then amount = max(0, min(amount, s3[i] + s5[i])) end
    s5[i] = s5[i] - amount
  else
    local rest = kind[i] == GCRA and min(1, s1[i]) or s3[i]
    amount = max(0, min(amount, used[i] - rest))
  end
  used[i] = used[i] - amount
  changed[i] = true
  return amount
end

-- Turns what a reservation holds into use: once, and only what this epoch and period know of.
local function resolve(id, parts)
  local known = {}
  o = o + 1
  out[o] = 1
  for q = p + 1, p + parts * 5, 5 do
    local i, held, spent = a[q], a[q + 1], a[q + 2]
    local h = holder[i]
    if known[h] == nil then known[h] = epoch[h] > 0 and redis.call('HDEL', KEYS[h], id) == 1 end
    tell(i)
    o = o + 1
    out[o] = known[h] and is_same(q, true) and 1 or 0
    if out[o] == 1 and kind[i] <= GAUGE then
      s5[i], s6[i], used[i] = min(MAX, s5[i] + spent), s6[i] - held, min(MAX, used[i] + spent - held)
      changed[i] = true
    elseif out[o] == 1 and spent > held then
      add(i, spent - held, nil, FORCE)
    elseif out[o] == 1 then
      subtract(i, held - spent)
    end
  end
end

-- Gives back, or waits for the grant that tells a count its base: until then it does not know what is used.
local function release(parts)
  local ready = 1
  for q = p + 1, p + parts * 5, 5 do
    if kind[a[q]] <= GAUGE and s2[a[q]] == 0 then ready = 0 end
  end
  o = o + 1
  out[o] = ready
  for q = p + 1, p + parts * 5, 5 do
    tell(a[q], a[q + 2])
    o = o + 1
    out[o] = ready == 1 and is_same(q) and subtract(a[q], a[q + 1], a[q + 2]) or 0
  end
  return ready == 1
end

-- Finds the answer that a request id got before. Otherwise gives the hash that will remember it.
local function find_answer(q)
  local h, id = a[q + 1], a[q + 4]
  if generation_at[h] + GENERATION_MS <= now then
    generation[h] = 1 - generation[h]
    -- Of two generations that are both over neither is remembered.
    if generation_at[h] + 2 * GENERATION_MS <= now then redis.call('UNLINK', KEYS[a[q + 2]], KEYS[a[q + 3]])
    else redis.call('UNLINK', KEYS[a[q + 2 + generation[h]]]) end
    generation_at[h] = now
    redis.call('HSET', KEYS[h], '#', pack(fence, epoch[h], cold_at[h], generation[h], now))
  end
  local current, former = KEYS[a[q + 2 + generation[h]]], KEYS[a[q + 3 - generation[h]]]
  local answer = redis.call('HGET', current, id) or redis.call('HGET', former, id)
  if not answer then
    if redis.call('HLEN', current) < GENERATION_IDS then return current end
    out[o + 1] = FULL
    o = o + 1
    return nil
  end
  answer = unpacked(answer)
  if answer[1] ~= a[q + 5] then
    out[o + 1] = REUSED
    o = o + 1
    return nil
  end
  out[o + 1], out[o + 2] = REPLAYED, #answer - 1
  o = o + 2
  for j = 2, #answer do out[o + j - 1] = answer[j] end
  o = o + #answer - 1
end

-- Remembers an answer: the request's hash, the limits' signature, the time, the outcome, and the base of each count.
local function keep_answer(key, q, from, parts, width)
  local answer = {a[q + 5], a[q + 6], now}
  for j = from + 1, o do answer[#answer + 1] = out[j] end
  for r = p + 1, p + parts * width, width do answer[#answer + 1] = kind[a[r]] <= GAUGE and s3[a[r]] or 0 end
  if redis.call('HSET', key, a[q + 4], pack(answer)) == 1 and redis.call('HLEN', key) == 1 then
    redis.call('PEXPIRE', key, 2 * GENERATION_MS)
  end
end

local function is_cold(parts, width, asker)
  if not any_cold then return false end
  if asker and epoch[asker] == 0 then return true end
  for q = p + 1, p + parts * width, width do
    if epoch[holder[a[q]]] == 0 then return true end
  end
  return false
end

-- Each run: its mode, how many checks it is or its reservation, its number of parts, with an id also where that is
-- remembered; then each part: limit, amount, slot or entry, and for reservations and releases the epoch and the mark.
local function run()
  local mode, count, parts, q, key = a[p + 1], a[p + 2], a[p + 3], p + 3, nil
  p = p + 3
  if mode >= WITH_ID then mode, p = mode - WITH_ID, p + 6 end
  local width = (mode == HOLD or mode == RESOLVE or mode == RELEASE) and 5 or 3
  local from, counted = o, false
  if mode ~= RESOLVE and is_cold(parts, width, p > q and a[q + 1]) then
    o = o + 1
    out[o] = COLD
  else
    if p > q then
      key = find_answer(q)
      from = o
    end
    if p > q and not key then counted = false
    elseif mode == HOLD then hold(count, parts)
    elseif mode == RESOLVE then resolve(count, parts)
    elseif mode == RELEASE then counted = release(parts)
    elseif mode == BEST_EFFORT or mode == TAKE_GIVEN then counted = admit_some(mode, parts)
    else counted = admit(mode, count, parts, width) end
    if key and counted then keep_answer(key, q, from, parts, width) end
  end
  p = p + parts * width
end

local function stored(i)
  if kind[i] <= GAUGE then return pack(s1[i], s2[i], s3[i], s4[i], s5[i], s6[i]) end
  if kind[i] == GCRA then return pack(used[i] - min(1, s1[i]), s1[i], s2[i]) end
  if kind[i] == SLIDING then return pack(s1[i], used[i] - s3[i], s2[i]) end
  return pack(used[i], s4[i])
end

load_all()
while p < #a do run() end
local writes = {}
for i = 1, a[3] do
  if changed[i] then
    local list = writes[holder[i]] or {}
    writes[holder[i]] = list
    list[#list + 1], list[#list + 2] = field[i], stored(i)
  end
end
for h, list in pairs(writes) do redis.call('HSET', KEYS[h], unpack(list)) end
return pack(out)
