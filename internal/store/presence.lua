-- Writes which channels an edge's sessions watch, renews the edge's lease, and removes what edges
-- have left whose lease is over. KEYS[1]: the portal's head, for the names of the keys. ARGV: the
-- edge, lease in ms, 1 to write the whole set anew, 1 if this is the last call of the set, life in
-- seconds when a user was last seen, how long in ms what an edge has left outlives its lease; then
-- pairs of channel and sessions. Returns 0, and does nothing, if there is nothing to change any
-- more: the caller must replace. Else returns 1, and then pairs of a user's channel and 1 if the
-- user has come, 0 if the user has left: with this call, and at no other edge either.
local call, sub, byte = redis.call, string.sub, string.byte
local portal = sub(KEYS[1], 1, -5)
local leases, on, seen = portal .. 'leases', portal .. 'on:', portal .. 'seen'
local edge, lease = ARGV[1], tonumber(ARGV[2])
local watched, was = on .. edge, portal .. 'was:' .. edge
local time = call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- ms formats a time so that Redis can read it.
local function ms(t)
	return string.format('%.0f', t)
end

if ARGV[3] == '1' then
	call('DEL', was)
	if call('EXISTS', watched) == 1 then
		call('RENAME', watched, was) -- to find who is not in the new set
		call('PEXPIRE', was, ARGV[2])
	end
	-- an edge without sessions has a key, too, or its lease would look like a lost one
	call('HSET', watched, '', 0)
elseif call('EXISTS', watched) == 0 or tonumber(call('ZSCORE', leases, edge) or 0) <= now then
	return {0}
end
call('ZADD', leases, ms(now + lease), edge)
-- What an edge has left outlives its lease for a while, so that others can tell which users left
-- with it.
call('PEXPIRE', leases, ms(lease + ARGV[6]))
call('PEXPIRE', watched, ms(lease + ARGV[6]))

local moved = {1}
local alive = call('ZRANGEBYSCORE', leases, '(' .. ms(now), '+inf')
local told = false

-- note adds a user to the reply that had sessions at an edge and has none, or the other way round,
-- unless there are some at another edge.
local function note(channel, of, before, after)
	-- '@', and not the 's' of a status channel
	local user = byte(channel) == 64 and byte(channel, 2) ~= 115
	if not user or before == after then
		return
	end
	for _, other in ipairs(alive) do
		if other ~= of and call('HEXISTS', on .. other, channel) == 1 then
			return
		end
	end
	moved[#moved + 1] = channel
	moved[#moved + 1] = after and 1 or 0
	told = true
	call('ZADD', seen, time[1], (string.gsub(channel, '^@0*', '')))
end

local replacing = call('EXISTS', was) == 1
for i = 7, #ARGV, 2 do
	local channel, after = ARGV[i], ARGV[i + 1] ~= '0'
	local before = call('HEXISTS', watched, channel) == 1 or replacing and call('HDEL', was, channel) == 1
	if after then
		call('HSET', watched, channel, ARGV[i + 1])
	else
		call('HDEL', watched, channel)
	end
	note(channel, edge, before, after)
end

-- bury removes what a dead edge has left, or a part of it if it is much: the next call goes on.
local function bury(dead)
	local left, cursor, n = on .. dead, '0', 0
	repeat
		local page = call('HSCAN', left, cursor, 'COUNT', 500)
		cursor = page[1]
		for i = 1, #page[2], 2 do
			note(page[2][i], dead, true, false)
			call('HDEL', left, page[2][i])
			n = n + 1
		end
	until cursor == '0' or n >= 1000
	if call('EXISTS', left) == 0 then
		call('ZREM', leases, dead)
	end
end

if ARGV[4] == '1' then
	if replacing then
		for _, channel in ipairs(call('HKEYS', was)) do
			note(channel, edge, true, false)
		end
		call('DEL', was)
	end
	for _, dead in ipairs(call('ZRANGEBYSCORE', leases, '-inf', ms(now))) do
		bury(dead)
	end
end
if told then
	call('ZREMRANGEBYSCORE', seen, '-inf', '(' .. time[1] - ARGV[5])
	call('EXPIRE', seen, ARGV[5])
end
return moved
