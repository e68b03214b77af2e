-- Prepended to the scripts that move the head. KEYS[1] is the portal's head: the newest id
-- assigned, 26 digits, and after them the server that assigned it.
local call, sub, format = redis.call, string.sub, string.format
local ends, lost, day = sub(KEYS[1], 1, -5) .. 'e:', sub(KEYS[1], 1, -5) .. 'lost', 86400

-- giver returns the name of the server: its replication id, which changes whenever it becomes a
-- master or is started as one. It returns '' if the server does not say.
local function giver()
	local info = redis.pcall('INFO', 'replication')
	return type(info) == 'string' and string.match(info, 'master_replid:(%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x)') or ''
end

-- gave reports whether a server assigned this head itself: another one may have assigned later ids
-- that are lost.
local function gave(by, head)
	return by == '' or #head == 26 or by == sub(head, 27)
end

-- covers reports whether a known id is one that this log has had, or one whose loss is reported to
-- readers.
local function covers(head, known)
	if known == '' or sub(known, 1, 10) == sub(head, 1, 10) then
		return known <= sub(head, 1, 26)
	end
	local epoch = sub(known, 1, 10)
	if epoch > sub(head, 1, 10) then
		return false
	end
	local told, last = call('GET', lost), call('GET', ends .. epoch)
	if told and epoch < told then
		return true
	end
	if last then
		return sub(known, 11) <= last
	end
	-- an epoch that ended that long ago; else one that was never ours
	return tonumber(epoch) < call('TIME')[1] - day
end

-- raise begins a new epoch after a head, if there is one, and a known id, and returns it. Readers
-- that come from the epoch before learn that it has lost messages; if it is whole, only those that
-- know more of it than this log.
local function raise(head, known, whole)
	local epoch = tonumber(call('TIME')[1])
	if known ~= '' then
		epoch = math.max(epoch, tonumber(sub(known, 1, 10)) + 1)
	end
	if head then
		epoch = math.max(epoch, tonumber(sub(head, 1, 10)) + 1)
		call('SET', ends .. sub(head, 1, 10), sub(head, 11, 26), 'EX', day)
	end
	epoch = format('%010d', epoch)
	if not whole then
		call('SET', lost, epoch, 'EX', day)
	end
	return epoch
end

-- position returns the epoch (10 digits), the sequence after which `count` more ids can be
-- assigned, and the name of the server. It opens a new epoch if there is no head; if the caller
-- knows of an id that is lost; if another server assigned the head, since lost ids must not be
-- assigned again even if nobody knows of them; or before the sequence passes what a Lua number
-- holds exactly.
local function position(head, known, count)
	if head and #head < 26 then
		head = nil
	end
	local by = giver()
	local whole = head and covers(head, known)
	local sequence = head and tonumber(sub(head, 11, 26))
	if whole and gave(by, head) and sequence + count <= 9000000000000000 then
		return sub(head, 1, 10), sequence, by
	end
	return raise(head, known, whole), 0, by
end
