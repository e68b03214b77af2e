-- Appends messages and notifies of them, by the command `publish`, which the line before sets.
-- ARGV: the newest id that the caller knows or '', life of a list in ms, cap of a list, write
-- window in ms or 0, how long keys are remembered in ms; then for each message: its life in ms or
-- 0, its channels (32 characters each, run together), its record, its key or ''. Returns the id of
-- the last message; the others' precede it without a hole. If messages with keys of these were
-- appended before, does nothing and returns 'again', and pairs of message, counted from 0, and the
-- earlier id. If channels are closed, does nothing and returns 'closed', and pairs of message and
-- channel, both counted from 0.
local portal = sub(KEYS[1], 1, -5)
local bodies, lists, births, trimmed, topic = portal .. 'm:', portal .. 'c:', portal .. 'b:', portal .. 't:', portal .. 'notify'
local keys = portal .. 'i:'
local life, cap, window, memory = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local first, count = 6, (#ARGV - 5) / 4
local now

local again = {'again'}
for i = first, #ARGV, 4 do
	local id = ARGV[i + 3] ~= '' and call('GET', keys .. ARGV[i + 3])
	if id then
		again[#again + 1] = (i - first) / 4
		again[#again + 1] = id
	end
end
if #again > 1 then
	return again
end

if window > 0 then
	local time = call('TIME')
	now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
	local closed = {'closed'}
	for i = first, #ARGV, 4 do
		local channels = ARGV[i + 1]
		for c = 1, #channels, 32 do
			local birth = call('GET', births .. sub(channels, c, c + 31))
			if birth and now - tonumber(birth) >= window then
				closed[#closed + 1] = (i - first) / 4
				closed[#closed + 1] = (c - 1) / 32
			end
		end
	end
	if #closed > 1 then
		return closed
	end
end

-- over drops the oldest ids of a list that has grown over the cap, a bounded number at a time (the
-- cap may have been lowered). A message that was still alive leaves a mark for as long as it would
-- have lived, so that readers learn of the gap.
local function over(channel, list, excess)
	local newest, longest = nil, 1
	for _ = 1, math.min(excess, 64) do
		local id = call('LPOP', list)
		local left = call('PTTL', bodies .. id)
		if left >= 0 then
			newest, longest = id, math.max(longest, left)
		end
	end
	if newest then
		local mark = trimmed .. channel
		call('SET', mark, newest, 'PX', math.max(longest, call('PTTL', mark)))
	end
end

-- sweep drops expired ids at the head of a list, a bounded number at a time.
local function sweep(list)
	for _ = 1, 32 do
		local id = call('LINDEX', list, 0)
		if not id or call('EXISTS', bodies .. id) == 1 then
			return
		end
		call('LPOP', list)
	end
end

local epoch, sequence, by = position(call('GET', KEYS[1]), ARGV[1], count)
-- This is the first write: if Redis is out of memory it refuses it, and nothing has been changed.
-- Whatever fails later, no id is assigned twice.
call('SET', KEYS[1], epoch .. format('%016d', sequence + count) .. by)

local id
for i = first, #ARGV, 4 do
	local ttl, channels, record, key = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
	sequence = sequence + 1
	id = epoch .. format('%016d', sequence)
	if window > 0 then
		for c = 1, #channels, 32 do
			local birth = births .. sub(channels, c, c + 31)
			call('SET', birth, format('%.0f', now), 'PX', life, 'NX')
			call('PEXPIRE', birth, life)
		end
	end
	if ttl ~= '0' then
		call('SET', bodies .. id, record, 'PX', ttl)
		for c = 1, #channels, 32 do
			local channel = sub(channels, c, c + 31)
			local list = lists .. channel
			local length = call('RPUSH', list, id)
			call('PEXPIRE', list, life)
			if length > cap then
				over(channel, list, length - cap)
			elseif length % 16 == 0 then
				sweep(list)
			end
		end
	end
	if key ~= '' then
		call('SET', keys .. key, id, 'PX', memory)
	end
	call(publish, topic, id .. record)
end
return id
