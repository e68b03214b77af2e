-- Returns one page of what the log holds for some channels after a cursor: a snapshot, because a
-- script is atomic. KEYS[1]: the portal's head. ARGV: the cursor or '', messages in a page, bytes
-- in a page, ids looked at, channels (32 characters each, run together). Returns head, through,
-- more (0 or 1), the newest id that may be missing or '', then id and record of each message.
local call, sub = redis.call, string.sub
local portal = sub(KEYS[1], 1, -5)
local bodies, lists, trimmed = portal .. 'm:', portal .. 'c:', portal .. 't:'
local after, limit, room, looks = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local channels = ARGV[5]
local chunk, batch = 32, 16

local head, lost = sub(call('GET', KEYS[1]) or '', 1, 26), ''
local epoch = sub(after, 1, 10)
if after > head then
	lost = after
	after = ''
elseif after ~= '' and epoch ~= sub(head, 1, 10) then
	-- Earlier epochs are lost, or complete up to where they ended. Once everything of an epoch
	-- would have expired, nothing is missing.
	local told, last = call('GET', portal .. 'lost'), call('GET', portal .. 'e:' .. epoch)
	if told and epoch < told or last and sub(after, 11) > last then
		lost = sub(head, 1, 10) .. '0000000000000000'
	end
end

-- open returns what must be read of a list: its ids from the first one after the cursor on; nil if
-- there are none. It looks at the end of the list, and steps back from there with growing strides,
-- so that a cursor that is almost new costs little, and an old one little more.
local function open(list)
	local newest = call('LINDEX', list, -1)
	if not newest or newest <= after then
		return nil
	end
	if after == '' then
		return {list = list, from = 0, ids = {}, at = 1, more = true}
	end
	local ids = call('LRANGE', list, -chunk, -1)
	if #ids < chunk or ids[1] <= after then
		return {ids = ids, at = 1}
	end
	local high, stride = call('LLEN', list) - chunk, chunk
	local low = high - stride
	while low >= 0 and call('LINDEX', list, low) > after do
		high, stride = low, stride * 2
		low = high - stride
	end
	low = math.max(low, -1)
	while high - low > 1 do
		local middle = math.floor((low + high) / 2)
		if call('LINDEX', list, middle) > after then
			high = middle
		else
			low = middle
		end
	end
	return {list = list, from = high, ids = {}, at = 1, more = true}
end

local sources = {}
for c = 1, #channels, 32 do
	local channel = sub(channels, c, c + 31)
	local mark = call('GET', trimmed .. channel)
	if mark and mark > after and mark > lost then
		lost = mark
	end
	sources[#sources + 1] = open(lists .. channel)
end

-- following returns the least id after `last` of all lists, or nil.
local function following(last)
	local least
	for _, source in ipairs(sources) do
		while true do
			local id = source.ids[source.at]
			if id then
				if id > last then
					if not least or id < least then
						least = id
					end
					break
				end
				source.at = source.at + 1
			elseif source.more then
				source.ids = call('LRANGE', source.list, source.from, source.from + chunk - 1)
				source.at, source.from, source.more = 1, source.from + chunk, #source.ids == chunk
			else
				break
			end
		end
	end
	return least
end

local reply = {head, '', 0, lost}
local through, more, count, bytes = after, 0, 0, 0
local id = following(after)
while id and more == 0 do
	local ids, keys = {}, {}
	while id and #ids < batch do
		ids[#ids + 1], keys[#keys + 1] = id, bodies .. id
		id = following(id)
	end
	looks = looks - #ids
	for i, record in ipairs(call('MGET', unpack(keys))) do
		if record then
			if count == limit or count > 0 and bytes + #record > room then
				more = 1
				break
			end
			count, bytes = count + 1, bytes + #record
			reply[#reply + 1], reply[#reply + 2] = ids[i], record
		end
		through = ids[i]
	end
	if id and looks <= 0 then
		more = 1
	end
end
if more == 0 and head > through then
	through = head
end
reply[2], reply[3] = through, more
return reply
