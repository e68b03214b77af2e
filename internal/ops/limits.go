package ops

import (
	"math"
	"runtime/debug"
	"syscall"
)

// MaxConnections returns how many connections this process may hold: wanted, but at most nine
// tenths of the descriptors that it may open. If wanted is 0, it returns that maximum. The rest is
// for Redis, the admin port, and connections that are about to be refused.
func MaxConnections(wanted int) int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return wanted
	}
	most := int(min(limit.Cur, math.MaxInt32) / 10 * 9)
	if wanted > 0 {
		most = min(most, wanted)
	}
	return most
}

// MaxMemory returns how many bytes of memory this process may use: the lower one of wanted and
// GOMEMLIMIT. A wanted of 0 is no limit; MaxMemory returns 0 if there is no limit at all. It sets
// the limit of the garbage collector accordingly.
func MaxMemory(wanted int64) int64 {
	limit := debug.SetMemoryLimit(-1)
	switch {
	case wanted > 0 && wanted < limit:
		debug.SetMemoryLimit(wanted)
		return wanted
	case limit == math.MaxInt64:
		return 0
	default:
		return limit
	}
}
