package load

import "time"

// delivery counts a message that has arrived. A latency below zero is not measured.
func (r *run) delivery(v verdict, latency time.Duration) {
	r.lastNews = r.loop.Now()
	switch v {
	case doubled:
		r.report.Doubled++
		return
	case stray:
		r.report.Stray++
		return
	case late:
		r.report.Disordered++
	}
	r.delivered++
	r.now.delivered++
	if latency >= 0 {
		r.latency.add(latency)
		r.now.latency.add(latency)
	}
}

func (r *run) accepted(s *stream, took time.Duration) {
	r.accepting.add(took)
	r.expected += s.watchers
	r.report.Accepted++
	r.lastNews = r.loop.Now()
}

func (r *run) refused(err error) {
	r.report.Refused++
	r.lastNews = r.loop.Now()
	r.report.refusals[err.Error()]++
}

// awaitDeliveries waits until every accepted message has arrived, or nothing arrives any more.
func (r *run) awaitDeliveries() error {
	r.lastNews = r.loop.Now()
	checked := time.Duration(0)
	return r.until("all deliveries", time.Hour, func() bool {
		now := r.loop.Now()
		if r.pending > 0 || r.delivered < r.expected {
			return now-r.lastNews > r.Patience
		}
		if now-checked < 100*time.Millisecond {
			return false
		}
		checked = now
		return r.lost() == 0 || now-r.lastNews > r.Patience
	})
}

func (r *run) lost() (n int) {
	for _, s := range r.subs {
		n += s.lost()
	}
	return n
}

// fault records something that never happens with a correct server and network.
func (r *run) fault(text string) {
	r.report.FaultCount++
	if len(r.report.Faults) < maxFaults {
		r.report.Faults = append(r.report.Faults, text)
	}
}

// fail ends the run: this machine lacks what it needs.
func (r *run) fail(err error) {
	if r.broke == nil {
		r.broke = err
	}
}
