package edge

import (
	"context"
	"slices"
	"time"

	"pushgate/internal/netpoll"
)

// Drain asks every connection to leave, once, spread evenly over the configured window. It returns
// when all have ended, or ctx ends. A connection that comes meanwhile found no other edge: it is
// served, and then asked like the others. What is left some seconds after the window is cut: a
// client has that long to answer a close frame.
func (e *Edge) Drain(ctx context.Context) {
	e.draining.Store(true)
	e.front.Leave()
	end := time.Now().Add(e.config.Drain)
	asked := make(map[netpoll.Member]struct{})
	for {
		all := e.shared.Heartbeats.Members()
		if len(all) == 0 {
			return
		}
		if time.Now().After(end.Add(CloseGrace)) {
			_ = e.Close()
			return
		}
		asked = stillAsked(asked, all)
		if !e.ask(ctx, all, asked, end) || wait(ctx, drainInterval) != nil {
			return
		}
	}
}

// CloseGrace is how long after the window of a drain the connections that were asked last may take:
// a client has 5 s to answer a close frame.
const CloseGrace = 6 * time.Second

const drainInterval = 20 * time.Millisecond // between two looks at what is left

// stillAsked returns the connections of all that have been asked to leave, and forgets the others.
func stillAsked(asked map[netpoll.Member]struct{}, all []netpoll.Member) map[netpoll.Member]struct{} {
	still := make(map[netpoll.Member]struct{}, len(all))
	for _, m := range all {
		if _, ok := asked[m]; ok {
			still[m] = struct{}{}
		}
	}
	return still
}

// ask asks the connections to leave that have not been asked, spread over the time until end, and
// adds them to asked. It reports false if ctx ends.
func (e *Edge) ask(ctx context.Context, all []netpoll.Member, asked map[netpoll.Member]struct{}, end time.Time) bool {
	all = slices.DeleteFunc(all, func(m netpoll.Member) bool {
		_, ok := asked[m]
		return ok
	})
	start := time.Now()
	step := max(end.Sub(start), 0) / time.Duration(max(len(all), 1))
	for i, m := range all {
		// Somewhere within its step of the window.
		at := start.Add(time.Duration(i)*step + jitter(step) - step/2)
		if wait(ctx, time.Until(at)) != nil {
			return false
		}
		asked[m] = struct{}{}
		e.shared.Heartbeats.Call(m, m.Leave)
	}
	return true
}
