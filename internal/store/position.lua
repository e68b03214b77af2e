-- Put before the scripts that move the head. KEYS[1] is the portal's head: the newest id given, 26 digits.
local call, sub, format = redis.call, string.sub, string.format

-- position gives the epoch (10 digits) and the sequence after which `count` more ids can be given. It opens a new epoch if there
-- is no head, if the caller knows of a newer id (Redis lost data, and must not give the same ids again), or before the
-- sequence passes what a Lua number holds exactly.
local function position(head, known, count)
	if head and #head == 26 and head >= known then
		local sequence = tonumber(sub(head, 11))
		if sequence + count <= 9000000000000000 then
			return sub(head, 1, 10), sequence
		end
		known = head
	end
	local epoch = tonumber(call('TIME')[1])
	if known ~= '' then
		epoch = math.max(epoch, tonumber(sub(known, 1, 10)) + 1)
	end
	-- For as long as anything of the epoch before would have lived, a reader that comes from there is told that it is gone.
	call('SET', sub(KEYS[1], 1, -5) .. 'lost', format('%010d', epoch), 'EX', 86400)
	return format('%010d', epoch), 0
end
