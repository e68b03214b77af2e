-- Gives how many sessions of all edges whose lease holds watch each channel.
-- KEYS[1]: the portal's head, for the names of the keys. ARGV: the channels.
local call = redis.call
local portal = string.sub(KEYS[1], 1, -5)
local time = call('TIME')
local now = string.format('(%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
local sums = {}
for i = 1, #ARGV do
	sums[i] = 0
end
for _, edge in ipairs(call('ZRANGEBYSCORE', portal .. 'leases', now, '+inf')) do
	for i, channel in ipairs(ARGV) do
		sums[i] = sums[i] + (tonumber(call('HGET', portal .. 'on:' .. edge, channel) or 0) or 0)
	end
end
return sums
