package server

import (
	"log/slog"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"pushgate/internal/admin"
	"pushgate/internal/history"
	"pushgate/internal/version"
)

// status says how a process is. It is immutable, and may be used concurrently.
type status struct {
	kind, id string
	ready    func() error // may be nil
	leaving  func() bool
	level    *slog.LevelVar
	figures  *history.Figures
	clock    func() (ahead time.Duration, ok bool) // of Redis
}

// get returns how the process is now.
func (s status) get() admin.Process {
	build := version.Get()
	host, _ := os.Hostname()
	p := admin.Process{ID: s.id, Kind: s.kind, Version: build.Version, Commit: build.Commit, Host: host, PID: os.Getpid(), Started: s.figures.Started().UnixMilli(),
		Memory: history.Memory(), Goroutines: runtime.NumGoroutine(), Descriptors: openDescriptors(), DescriptorsLimit: mostDescriptors(),
		Draining: s.leaving(), LogLevel: strings.ToLower(s.level.Level().String())}
	if s.ready != nil {
		if err := s.ready(); err != nil {
			p.Reason = err.Error()
		}
	}
	if p.Draining {
		p.Reason = "draining"
	}
	p.Ready = p.Reason == ""
	now := s.figures.Gauges()
	p.Connections = admin.Connections{WebSocket: now["connections_websocket"], Poll: now["connections_poll"], Stream: now["connections_stream"]}
	p.Channels = now["channels"]
	if ahead, ok := s.clock(); ok {
		ms := ahead.Milliseconds()
		p.Clock = &ms
	}
	return p
}

// mostDescriptors returns how many descriptors the process may have open; -1 if it is not known.
func mostDescriptors() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return -1
	}
	return int(min(limit.Cur, 1<<31))
}

// openDescriptors returns how many descriptors the process has open; -1 if it is not known. Since
// Linux 6.2 the size of the directory says it; before, hundreds of thousands of names are read.
func openDescriptors() int {
	const list = "/proc/self/fd"
	if info, err := os.Stat(list); err == nil && info.Size() > 0 {
		return int(info.Size())
	}
	dir, err := os.Open(list)
	if err != nil {
		return -1
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return -1
	}
	return len(names)
}
