package ops

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestProcessors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var rate atomic.Int64 // how much of a second is used in one
		var held atomic.Value
		used, last := time.Duration(0), time.Now()
		p := &processors{
			used: func() time.Duration {
				used += time.Since(last) * time.Duration(rate.Load()) / time.Second
				last = time.Now()
				return used
			},
			one: func() { held.Store("one") },
			all: func() { held.Store("all") },
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			p.run(ctx)
		}()
		after := func(d, at time.Duration, want string) {
			t.Helper()
			rate.Store(int64(at))
			time.Sleep(d)
			synctest.Wait()
			if held.Load() != want {
				t.Errorf("after %v at %v a second: %s, want %s", d, at, held.Load(), want)
			}
		}
		time.Sleep(time.Millisecond) // between two ticks from here on
		after(0, 0, "one")
		after(time.Minute, 350*time.Millisecond, "one")
		after(200*time.Millisecond, 450*time.Millisecond, "one")
		after(200*time.Millisecond, 350*time.Millisecond, "one")
		after(300*time.Millisecond, 450*time.Millisecond, "all")
		after(time.Minute, 350*time.Millisecond, "all")
		after(900*time.Millisecond, 250*time.Millisecond, "all")
		after(200*time.Millisecond, 350*time.Millisecond, "all")
		after(900*time.Millisecond, 250*time.Millisecond, "all")
		after(300*time.Millisecond, 250*time.Millisecond, "one")
		after(400*time.Millisecond, 2*time.Second, "all")
		after(1200*time.Millisecond, 0, "one")
		cancel()
		<-ended
		if held.Load() != "all" {
			t.Error("at the end:", held.Load())
		}
	})
}

func TestProcessorsOfThisProcess(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	t.Setenv("GOMAXPROCS", "3")
	if p := newProcessors(); p != nil {
		t.Error("the operator has no say")
	} else {
		p.run(t.Context())
	}
	t.Setenv("GOMAXPROCS", "")
	p := newProcessors()
	p.one()
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Error("one:", n)
	}
	p.all()
	if n := runtime.GOMAXPROCS(0); n < before && n < runtime.NumCPU() {
		t.Error("all:", n)
	}
	used := p.used()
	for end := time.Now().Add(10 * time.Second); p.used()-used < 10*time.Millisecond; {
		if time.Now().After(end) {
			t.Fatal("working takes no time")
		}
	}
}
