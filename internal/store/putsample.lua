-- Keeps a sample of a process: those of an hour, and one in five minutes for a day. KEYS[1]: when
-- each process was last sampled. ARGV: the process, the sample, its schema's key, the prefix of the
-- lists. Returns the time in ms, and whether the schema exists. Processes that were not sampled for
-- a day are forgotten, and the oldest beyond 500.
local process, sample, schema, lists = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local hour, day, minute = lists .. 'hour:' .. process, lists .. 'day:' .. process, 60000
local stamp = string.format('%013.0f', now)

local function push(list, most, life)
	for _ = 1, redis.call('RPUSH', list, stamp .. sample) - most do
		redis.call('LPOP', list)
	end
	redis.call('PEXPIRE', list, life)
end

if redis.call('HEXISTS', KEYS[1], process) == 0 then
	local fields, count, oldest, age = redis.call('HGETALL', KEYS[1]), 0, nil, -1
	for i = 1, #fields, 2 do
		local since = now - tonumber(fields[i + 1])
		if since > 1440 * minute then
			redis.call('HDEL', KEYS[1], fields[i])
		else
			count = count + 1
			if since > age then
				oldest, age = fields[i], since
			end
		end
	end
	if count >= 500 then
		redis.call('HDEL', KEYS[1], oldest)
		redis.call('DEL', lists .. 'hour:' .. oldest, lists .. 'day:' .. oldest)
	end
end
redis.call('HSET', KEYS[1], process, stamp)
redis.call('PEXPIRE', KEYS[1], 1440 * minute)
push(hour, 361, 65 * minute)
local last = redis.call('LINDEX', day, -1)
if not last or math.abs(now - tonumber(string.sub(last, 1, 13))) > 5 * minute - 5000 then
	push(day, 290, 1445 * minute)
	redis.call('PEXPIRE', schema, 1500 * minute)
end
return {stamp, redis.call('EXISTS', schema)}
