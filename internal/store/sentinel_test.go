package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

// publishing appends from several goroutines until it is stopped, and remembers what was
// acknowledged.
type publishing struct {
	stop func()

	mu     sync.Mutex
	acked  []proto.ID
	failed int
}

func publish(t *testing.T, l *store.Log) *publishing {
	p := &publishing{}
	stop := make(chan struct{})
	var running sync.WaitGroup
	for w := range 4 {
		running.Go(func() {
			last := proto.ID{}
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				began := time.Now()
				receipts, err := l.Append(context.Background(), msg(time.Hour, fmt.Sprintf("%d.%d", w, i), ch(1)))
				if took := time.Since(began); took > 3*time.Second {
					t.Errorf("an append took %v: %v", took, err)
				}
				p.mu.Lock()
				if err != nil {
					p.failed++
				} else {
					if !receipts[0].ID.After(last) {
						t.Errorf("id %v after %v", receipts[0].ID, last)
					}
					last = receipts[0].ID
					p.acked = append(p.acked, last)
				}
				p.mu.Unlock()
				if err != nil {
					time.Sleep(5 * time.Millisecond) // as a portal would wait, and much longer
				}
			}
		})
	}
	p.stop = sync.OnceFunc(func() {
		close(stop)
		running.Wait()
	})
	t.Cleanup(p.stop)
	return p
}

func (p *publishing) newest() (newest proto.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range p.acked {
		if id.After(newest) {
			newest = id
		}
	}
	return newest
}

// again waits until something is acknowledged that was not when it was called, and is heard.
func (p *publishing) again(t *testing.T, r *storetest.Recorder) (after proto.ID, took time.Duration) {
	t.Helper()
	p.mu.Lock()
	n := len(p.acked)
	p.mu.Unlock()
	began := time.Now()
	testkit.Eventually(t, "appends that are acknowledged and heard", func() bool {
		p.mu.Lock()
		if len(p.acked) > n+20 {
			after = p.acked[len(p.acked)-1]
		}
		p.mu.Unlock()
		_, _, up, newest := r.State()
		return !after.IsZero() && up && !after.After(newest)
	})
	return after, time.Since(began)
}

func TestFailoverThatLosesAcknowledgedWrites(t *testing.T) {
	t.Parallel() // it waits
	sentinel := storetest.StartSentinel(t)
	edge := store.New(open(t, sentinel.URL()), store.Config{})
	r := recorder(t, edge.Log("default"))
	p := publish(t, store.New(open(t, sentinel.URL()), store.Config{}).Log("default"))
	p.again(t, r)
	sentinel.Detach()
	p.again(t, r) // these are what will be lost
	lost := p.newest()
	sentinel.Servers[0].Stop()
	after, took := p.again(t, r)
	p.stop()
	t.Logf("acknowledged again %v after the master fell, %d appends failed", took, p.failed)
	if took > 20*time.Second {
		t.Errorf("acknowledged again after %v only", took)
	}
	if after.Epoch <= lost.Epoch {
		t.Errorf("%v after %v, which was lost: no new epoch", after, lost)
	}
	// The old master comes back, and follows the new one.
	sentinel.Servers[0].Start()
	page, err := edge.Log("default").History(t.Context(), nil, lost)
	if err != nil || !page.Gap() {
		t.Errorf("no gap for a reader that saw what was lost: gap %v, %v", page.Gap(), err)
	}
	post(t, edge.Log("default"), msg(time.Hour, "last", ch(1)))
	if resyncs, downs, up, _ := r.State(); resyncs < 2 || downs < 1 || !up {
		t.Errorf("%d resyncs, %d downs, up %v", resyncs, downs, up)
	}
}

func TestSwitchOfALivingMaster(t *testing.T) {
	t.Parallel() // it waits
	sentinel := storetest.StartSentinel(t)
	l := store.New(open(t, sentinel.URL()), store.Config{}).Log("default")
	r := recorder(t, l)
	p := publish(t, l)
	p.again(t, r)
	sentinel.Switch()
	_, took := p.again(t, r)
	p.stop()
	t.Logf("acknowledged again after %v, %d appends failed", took, p.failed)
	if resyncs, downs, up, _ := r.State(); resyncs < 2 || downs < 1 || !up {
		t.Errorf("%d resyncs, %d downs, up %v", resyncs, downs, up)
	}
}
