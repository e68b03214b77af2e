package ops

import (
	"math"
	"runtime/debug"
	"syscall"
)

// MaxConnections returns how many connections a process may hold that wants so many, or if that is 0 as many as it can: a tenth of the
// descriptors that it may open is left for the log, the admin port, and connections that are about to be refused.
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

// MaxMemory returns how many bytes a process may take that was told so many, or if that is 0 what GOMEMLIMIT says; 0 if there is no
// limit. The collector is told of it too, unless GOMEMLIMIT has told it less.
func MaxMemory(told int64) int64 {
	limit := debug.SetMemoryLimit(-1)
	switch {
	case told > 0 && told < limit:
		debug.SetMemoryLimit(told)
		return told
	case limit == math.MaxInt64:
		return 0
	default:
		return limit
	}
}
