-- Writes what channels an edge's sessions watch, and renews the edge's lease.
-- KEYS[1]: the portal's head, for the names of the keys. ARGV: the edge, lease in ms, 1 to write the whole set anew, then pairs of
-- channel and sessions. Gives 0, and does nothing, if there is nothing to change any more: the caller has to replace.
local call, sub = redis.call, string.sub
local portal = sub(KEYS[1], 1, -5)
local edges, watched = portal .. 'edges', portal .. 'on:' .. ARGV[1]
if ARGV[3] == '1' then
	call('DEL', watched)
	call('HSET', watched, '', 0) -- an edge without sessions has a key too, or its lease could not be told from a lost one
	call('SADD', edges, ARGV[1])
	for _, edge in ipairs(call('SMEMBERS', edges)) do
		if call('EXISTS', portal .. 'on:' .. edge) == 0 then
			call('SREM', edges, edge)
		end
	end
elseif call('EXISTS', watched) == 0 or call('SISMEMBER', edges, ARGV[1]) == 0 then
	return 0
end
for i = 4, #ARGV, 2 do
	if ARGV[i + 1] == '0' then
		call('HDEL', watched, ARGV[i])
	else
		call('HSET', watched, ARGV[i], ARGV[i + 1])
	end
end
call('PEXPIRE', watched, ARGV[2])
return 1
