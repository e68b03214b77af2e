-- Publishes a question to all processes, and opens a place for their answers. KEYS[1]: the place.
-- ARGV: topic, all processes' leases, the place's life in ms, the question. Returns how many
-- connections received the question, and then the processes whose lease holds.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('SET', KEYS[1], '', 'PX', ARGV[3])
local fields = redis.call('HGETALL', ARGV[2])
local answer = {redis.call(publish, ARGV[1], ARGV[4])}
for i = 1, #fields, 2 do
	if tonumber(fields[i + 1]) > now then
		answer[#answer + 1] = fields[i]
	else
		redis.call('HDEL', ARGV[2], fields[i])
	end
end
return answer
