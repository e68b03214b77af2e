-- Returns the time in ms, and the processes that were sampled since. KEYS[1]: when each process was
-- last sampled. ARGV: how long ago in ms.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local fields, answer = redis.call('HGETALL', KEYS[1]), {string.format('%.0f', now)}
for i = 1, #fields, 2 do
	if now - tonumber(fields[i + 1]) < tonumber(ARGV[1]) then
		answer[#answer + 1] = fields[i]
	end
end
return answer
