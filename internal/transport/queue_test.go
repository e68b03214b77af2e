package transport

import (
	"slices"
	"testing"

	"pushgate/internal/wire"
)

// tracked is a connection that records its runs in a list that all share.
type tracked struct {
	name  int
	turns int // that are left
	order *[]int
}

func (c *tracked) run(*wire.Encoder) (again, ok bool) {
	*c.order = append(*c.order, c.name)
	c.turns--
	return c.turns > 0, true
}

// startedLater collects the functions that are started.
type startedLater struct{ all []func() }

func (s *startedLater) start(f func()) { s.all = append(s.all, f) }

func (s *startedLater) run() {
	for len(s.all) > 0 {
		f := s.all[0]
		s.all = s.all[1:]
		f()
	}
}

func TestQueue(t *testing.T) {
	const most = 3
	for _, c := range []struct {
		name    string
		woken   int // while something is dispatched
		turns   int // of each
		inline  int // runs by the dispatching goroutine
		started int // goroutines
	}{
		{"none", 0, 1, 0, 0},
		{"a few need no goroutine", ownRuns, 1, ownRuns, 0},
		{"a few that have more to write", 3, 2, 3, 3},
		{"more", ownRuns + 1, 1, 0, 1},
		{"more than one goroutine takes at a time", batchRuns + 1, 1, 0, 2},
		{"a crowd", 1000, 3, 0, most},
	} {
		t.Run(c.name, func(t *testing.T) {
			var later startedLater
			q := NewQueue(later.start, most, nil)
			var order, want []int
			q.Defer()
			for i := range c.woken {
				q.add(&tracked{i, c.turns, &order})
			}
			if len(order) > 0 || len(later.all) > 0 {
				t.Error("begun before all are known")
			}
			q.Resume()
			if len(order) != c.inline || len(later.all) != c.started {
				t.Errorf("%d turns and %d goroutines, want %d and %d", len(order), len(later.all), c.inline, c.started)
			}
			later.run()
			for range c.turns {
				for i := range c.woken {
					want = append(want, i)
				}
			}
			if slices.Sort(order[min(len(order), c.woken):]); !slices.Equal(order[:c.woken], want[:c.woken]) {
				t.Errorf("first turns: %v", order[:c.woken])
			}
			if len(order) != len(want) || q.workers != 0 || len(q.waiting) != 0 {
				t.Errorf("%d turns, want %d; %d goroutines, %d in line", len(order), len(want), q.workers, len(q.waiting))
			}
		})
	}
}

// A connection that is woken outside of a dispatch needs a worker at once, unless there is one
// already.
func TestQueueOutsideOfADispatch(t *testing.T) {
	var later startedLater
	var order []int
	q := NewQueue(later.start, 1, nil)
	q.add(&tracked{1, 1, &order})
	q.add(&tracked{2, 1, &order})
	if len(later.all) != 1 {
		t.Errorf("%d goroutines", len(later.all))
	}
	q.Defer()
	q.add(&tracked{3, 1, &order})
	q.Resume() // behind the others
	if len(order) > 0 {
		t.Errorf("%v had their turns before others", order)
	}
	later.run()
	if !slices.Equal(order, []int{1, 2, 3}) {
		t.Errorf("turns: %v", order)
	}
}
