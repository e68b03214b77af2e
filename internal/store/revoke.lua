-- Changes what a portal has put out, and notifies its followers by the command `publish`, which the
-- line before sets. KEYS[1]: the portal's head, for the names of the keys. ARGV: the entry, the
-- unix seconds when it ends or 0 to lift it, most entries, their longest life in seconds. Returns
-- 1, or 0 and changes nothing if there are too many entries.
local call = redis.call
local portal = string.sub(KEYS[1], 1, -5)
local revoked = portal .. 'revoked'
call('ZREMRANGEBYSCORE', revoked, '-inf', call('TIME')[1])
if ARGV[2] == '0' then
	call('ZREM', revoked, ARGV[1])
elseif not call('ZSCORE', revoked, ARGV[1]) and #call('ZRANGEBYSCORE', revoked, '-inf', '+inf', 'LIMIT', ARGV[3] - 1, 1) > 0 then
	return 0
else
	call('ZADD', revoked, ARGV[2], ARGV[1])
	call('EXPIRE', revoked, ARGV[4])
end
call(publish, portal .. 'notify', 'revoked')
return 1
