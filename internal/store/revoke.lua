-- Changes what a portal has put out, and notifies of it by a message that is not stored, with the
-- command `publish`, which the line before sets. KEYS[1]: the portal's head, for the names of the
-- keys. ARGV: the newest id that the caller knows or '', the entry, the unix seconds when it ends
-- or 0 to lift it, most entries, their longest life in seconds, the record of the message. Returns
-- its id, which becomes the version of the set, and how many replicas the server has; or '' and
-- changes nothing if there are too many entries.
local portal = sub(KEYS[1], 1, -5)
local revoked, version = portal .. 'revoked', portal .. 'revision'
local entry, ends, most, life = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
call('ZREMRANGEBYSCORE', revoked, '-inf', call('TIME')[1])
if ends ~= '0' and not call('ZSCORE', revoked, entry) and #call('ZRANGEBYSCORE', revoked, '-inf', '+inf', 'LIMIT', most - 1, 1) > 0 then
	return {'', 0}
end
local epoch, sequence, by = position(call('GET', KEYS[1]), ARGV[1], 1)
local id = epoch .. format('%016d', sequence + 1)
call('SET', KEYS[1], id .. by)
if ends == '0' then
	call('ZREM', revoked, entry)
else
	call('ZADD', revoked, ends, entry)
	call('EXPIRE', revoked, life)
end
call('SET', version, id, 'EX', life)
call(publish, portal .. 'notify', id .. ARGV[6])
local info = redis.pcall('INFO', 'replication')
return {id, tonumber(type(info) == 'string' and string.match(info, 'connected_slaves:(%d+)') or 0)}
