-- Returns the newest entries of the audit log, the oldest of them first. KEYS[1]: the log. ARGV:
-- how many.
return redis.call('LRANGE', KEYS[1], -tonumber(ARGV[1]), -1)
