package ops

import (
	"context"
	"os"
	"runtime"
	"syscall"
	"time"
)

// What a process does in one interval decides how many processors it is given.
const (
	loadInterval = 100 * time.Millisecond
	busyShare    = 4  // tenths of one processor: one is too few, for requests begin to wait for one another
	busyRow      = 3  // that many in a row
	quietShare   = 3  // tenths of one processor: one is enough
	quietRow     = 10 // that many in a row
)

// processors gives a process one processor while that is enough, and all of them else. With one, no goroutine that becomes ready wakes another
// thread, which would look for something to do and find nothing: where each request takes a few goroutines a few microseconds, such threads are most
// of what a process costs that is at rest in between. With all, Go does as it always does.
type processors struct {
	used     func() time.Duration // by the process, since its start
	one, all func()
}

// newProcessors makes one, or nil if the operator has said by GOMAXPROCS how many the process may have.
func newProcessors() *processors {
	if os.Getenv("GOMAXPROCS") != "" {
		return nil
	}
	return &processors{used: processorTime, one: func() { runtime.GOMAXPROCS(1) }, all: runtime.SetDefaultGOMAXPROCS}
}

// run keeps at it until ctx ends, and leaves all of them. A nil one does nothing.
func (p *processors) run(ctx context.Context) {
	if p == nil {
		return
	}
	defer p.all()
	p.one()
	ticker := time.NewTicker(loadInterval)
	defer ticker.Stop()
	before, single, busy, quiet := p.used(), true, 0, 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := p.used()
		tenths := int((now - before) * 10 / loadInterval)
		before = now
		if quiet++; tenths >= quietShare {
			quiet = 0
		}
		if busy++; tenths < busyShare {
			busy = 0
		}
		switch {
		case single && busy >= busyRow:
			single = false
			p.all()
		case !single && quiet >= quietRow:
			single = true
			p.one()
		}
	}
}

// processorTime gives how long the processors have worked for this process, for the kernel's part too.
func processorTime() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
