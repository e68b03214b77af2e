-- Returns how many sessions of all edges whose lease holds watch each channel. KEYS[1]: the
-- portal's head, for the names of the keys. ARGV: the channels.
local call, chunk = redis.call, 1000
local portal = string.sub(KEYS[1], 1, -5)
local time = call('TIME')
local now = string.format('(%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
local sums = {}
for i = 1, #ARGV do
	sums[i] = 0
end
for _, edge in ipairs(call('ZRANGEBYSCORE', portal .. 'leases', now, '+inf')) do
	for from = 1, #ARGV, chunk do
		local counts = call('HMGET', portal .. 'on:' .. edge, unpack(ARGV, from, math.min(from + chunk - 1, #ARGV)))
		for i, n in ipairs(counts) do
			sums[from + i - 1] = sums[from + i - 1] + (tonumber(n or 0) or 0)
		end
	end
end
return sums
