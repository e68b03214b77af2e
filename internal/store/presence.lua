-- Writes what channels an edge's sessions watch, and renews the edge's lease.
-- KEYS[1]: the portal's head, for the names of the keys. ARGV: the edge, lease in ms, 1 to write the whole set anew, 1 if this call
-- ends what is to be written, life in seconds of when a user was last seen; then pairs of channel and sessions.
-- Gives 0, and does nothing, if there is nothing to change any more: the caller has to replace. Else 1, and then pairs of a user's
-- channel and 1 if the user has come, 0 if he has left: with this call, and at no other edge either.
local call, sub, byte = redis.call, string.sub, string.byte
local portal = sub(KEYS[1], 1, -5)
local edges, watched, was, seen = portal .. 'edges', portal .. 'on:' .. ARGV[1], portal .. 'was:' .. ARGV[1], portal .. 'seen'
if ARGV[3] == '1' then
	call('DEL', was)
	if call('EXISTS', watched) == 1 then
		call('RENAME', watched, was) -- to tell who is not in the new set
		call('PEXPIRE', was, ARGV[2])
	end
	call('HSET', watched, '', 0) -- an edge without sessions has a key too, or its lease could not be told from a lost one
	call('SADD', edges, ARGV[1])
	for _, edge in ipairs(call('SMEMBERS', edges)) do
		if call('EXISTS', portal .. 'on:' .. edge) == 0 then
			call('SREM', edges, edge)
		end
	end
elseif call('EXISTS', watched) == 0 or call('SISMEMBER', edges, ARGV[1]) == 0 then
	return {0}
end

local moved = {1}
local members, now

local function elsewhere(channel)
	members = members or call('SMEMBERS', edges)
	for _, edge in ipairs(members) do
		if edge ~= ARGV[1] and call('HEXISTS', portal .. 'on:' .. edge, channel) == 1 then
			return true
		end
	end
	return false
end

-- note tells of a user who had sessions here and has none, or the other way round.
local function note(channel, before, after)
	local user = byte(channel) == 64 and byte(channel, 2) ~= 115 -- '@', and not the 's' of a status channel
	if not user or before == after or elsewhere(channel) then
		return
	end
	moved[#moved + 1] = channel
	moved[#moved + 1] = after and 1 or 0
	now = now or call('TIME')[1]
	call('ZADD', seen, now, (string.gsub(channel, '^@0*', '')))
end

local replacing = call('EXISTS', was) == 1
for i = 6, #ARGV, 2 do
	local channel, after = ARGV[i], ARGV[i + 1] ~= '0'
	local before = call('HEXISTS', watched, channel) == 1 or replacing and call('HDEL', was, channel) == 1
	if after then
		call('HSET', watched, channel, ARGV[i + 1])
	else
		call('HDEL', watched, channel)
	end
	note(channel, before, after)
end
if replacing and ARGV[4] == '1' then
	for _, channel in ipairs(call('HKEYS', was)) do
		note(channel, true, false)
	end
	call('DEL', was)
end
if now then
	call('ZREMRANGEBYSCORE', seen, '-inf', '(' .. now - ARGV[5])
	call('EXPIRE', seen, ARGV[5])
end
call('PEXPIRE', watched, ARGV[2])
return moved
