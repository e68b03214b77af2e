package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// How much more the edges may hold than before the attack. Each connection that leaks costs a
// descriptor and some KiB, so a leak of one in a thousand would be noticed.
const (
	moreDescriptors = 8
	moreMemory      = 4 << 20
)

// holding is what an edge holds.
type holding struct {
	descriptors, goroutines int
	// In bytes. Go keeps free pages for long, so only the heap is checked.
	resident, heap int64
	connections    int
}

func (u holding) String() string {
	return fmt.Sprintf("%d descriptors, %d goroutines, %.1f MB resident, %.1f of heap, %d connections", u.descriptors, u.goroutines,
		float64(u.resident)/(1<<20), float64(u.heap)/(1<<20), u.connections)
}

// atRest waits until the edges are at rest, and returns what they hold. If before is not nil, it
// waits until they hold no more than before. It reloads nginx, so that it keeps no connection to an
// edge.
func (a *attack) atRest(before []holding) (now []holding, err error) {
	if err := a.Nginx.Signal(syscall.SIGHUP); err != nil {
		return nil, err
	}
	began := time.Now()
	for {
		// Asking this often makes garbage, so that collections run and free memory.
		if err := a.pause(20 * time.Millisecond); err != nil {
			return nil, err
		}
		now, err = a.held()
		if err != nil {
			return nil, err
		}
		var more error
		for i, u := range now {
			if u.connections > 0 {
				more = errors.Join(more, fmt.Errorf("edge %d has %v", i, u))
			} else if before != nil && (u.descriptors > before[i].descriptors+moreDescriptors || u.heap > before[i].heap+moreMemory) {
				more = errors.Join(more, fmt.Errorf("edge %d had %v, and has %v", i, before[i], u))
			}
		}
		took := time.Since(began)
		if more == nil && (before != nil || took > 8*time.Second) || took > 60*time.Second {
			return now, more
		}
	}
}

func (a *attack) held() (all []holding, err error) {
	for _, p := range a.Edges {
		pid := p.pid.Load()
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			return nil, err
		}
		statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			return nil, err
		}
		pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
		if err != nil {
			return nil, err
		}
		goroutines, err := p.Metric(a.ctx, "go_goroutines")
		if err != nil {
			return nil, err
		}
		heap, err := p.Metric(a.ctx, "go_memstats_heap_alloc_bytes")
		if err != nil {
			return nil, err
		}
		connections, err := p.total(a.ctx, "pushgate_connections{")
		if err != nil {
			return nil, err
		}
		all = append(all, holding{len(open), int(goroutines), pages * int64(os.Getpagesize()), int64(heap), int(connections)})
	}
	return all, nil
}

// total adds up all series with a prefix, of all edges.
func (a *attack) total(prefix string) (total float64, err error) {
	for _, p := range a.Edges {
		n, err := p.total(a.ctx, prefix)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// total adds up all series with a prefix.
func (p *Process) total(ctx context.Context, prefix string) (total float64, err error) {
	text, err := get(ctx, p.Admin+"/metrics")
	if err != nil {
		return 0, fmt.Errorf("%s: %w", p.Name, err)
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			n, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			if err != nil {
				return 0, err
			}
			total += n
		}
	}
	return total, nil
}
