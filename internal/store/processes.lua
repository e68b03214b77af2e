-- Returns the statistics of all processes whose lease holds, and deletes the others. KEYS[1]: all
-- processes' statistics.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local fields, live = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #fields, 2 do
	if tonumber(string.sub(fields[i + 1], 1, 16)) > now then
		live[#live + 1] = string.sub(fields[i + 1], 17)
	else
		redis.call('HDEL', KEYS[1], fields[i])
	end
end
return live
