package adopt

import (
	"fmt"
	"strings"
)

// readRedis judges the configuration of a Redis.
func (s *survey) readRedis(name string, text []byte) {
	values := map[string]secret{}
	for i, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		values[strings.ToLower(fields[0])] = secret{strings.ToLower(strings.Trim(strings.Join(fields[1:], " "), `"'`)), place{name, i + 1}}
	}
	if values["port"].value == "" && values["unixsocket"].value == "" && values["maxmemory"].value == "" && values["appendonly"].value == "" {
		return // of something else
	}
	where := values["port"]
	if where.value == "" || where.value == "0" {
		where = values["unixsocket"]
	}
	switch {
	case strings.HasPrefix(where.value, "/"):
		s.note(where.at, "a Redis at %s", where.value)
	case where.value != "":
		s.note(where.at, "a Redis on port %s", where.value)
	}
	if policy := values["maxmemory-policy"]; policy.value != "" && policy.value != "noeviction" {
		s.wrong(policy.at, fmt.Sprintf("Redis throws keys away when it is full (%s), as for a cache", policy.value),
			"messages and channels disappear without a trace when the portal's cache grows",
			"a Redis of its own for pushgate, with noeviction; this one stays the cache")
	}
	if aof := values["appendonly"]; aof.value != "yes" {
		at := aof.at
		if at.file == "" {
			at = place{file: name}
		}
		s.wrong(at, "Redis writes no append-only file (appendonly is not yes)",
			"when it restarts, the messages since its last snapshot are lost", "a Redis of its own for pushgate, with appendonly yes")
	}
}

// redisImage judges a service of compose that runs Redis.
func (s *survey) redisImage(v service) {
	_, tag, _ := strings.Cut(v.image, ":")
	if strings.HasPrefix(tag, "6") || strings.HasPrefix(tag, "5") || strings.HasPrefix(tag, "4") {
		s.wrong(v.imageAt, "Redis is older than 7.0 ("+v.image+")", "pushgate needs 7.0", "a Redis of its own for pushgate")
	}
	command := strings.Join(v.command, " ")
	if !strings.Contains(command, "appendonly yes") && !strings.Contains(command, ".conf") && !v.mounts("redis") {
		s.wrong(v.at, "service "+v.name+" runs Redis without a configuration",
			"it writes no append-only file: when it restarts, the messages since its last snapshot are lost",
			"a Redis of its own for pushgate, with appendonly yes and a volume")
	}
}
