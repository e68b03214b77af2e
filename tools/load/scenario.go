package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// scenario is one kind of load.
type scenario struct {
	name         string
	summary      string
	defaults     Options
	manyChannels bool // of one subscriber
	run          func(r *run) error
}

// Info describes a scenario.
type Info struct{ Name, Summary, Defaults string }

// Scenarios returns all scenarios, in the order in which to try them.
func Scenarios() []Info {
	var all []Info
	for _, s := range scenarios() {
		d := s.defaults
		text := fmt.Sprintf("%d connections", d.Connections)
		if d.Rate > 0 {
			text += fmt.Sprintf(", %g posts/s", d.Rate)
		}
		if d.Duration > 0 {
			text += fmt.Sprintf(", %v", d.Duration)
		}
		if d.Missed > 0 {
			text += fmt.Sprintf(", %d missed", d.Missed)
		}
		if d.Volume > 0 {
			text += fmt.Sprintf(", %d slow, %d MB", d.Slow, d.Volume/1e6)
		}
		all = append(all, Info{s.name, s.summary, text})
	}
	return all
}

func scenarios() []scenario {
	return []scenario{
		{"idle", "connections that rest: memory of each", Options{Connections: 10_000, Duration: 5 * time.Second}, false, idle},
		{"connect", "connections as fast as they are taken: rate and handshake", Options{Connections: 10_000}, false, connectRate},
		{"fanout", "one channel, many subscribers", Options{Connections: 1000, Rate: 10, Duration: 10 * time.Second, Publishers: 4}, false, fanout},
		{"unicast", "many channels with one subscriber each", Options{Connections: 1000, Rate: 1000, Duration: 10 * time.Second, Publishers: 16}, false, unicast},
		{"poll", "the same by long polls", Options{Connections: 5000, Rate: 1000, Duration: 10 * time.Second, Publishers: 16, Transport: Poll}, false, unicast},
		{"return", "sleepers who come back at once and must get what they missed", Options{Connections: 2000, Missed: 20, Publishers: 16, Concurrency: 2000}, false, returning},
		{"slow", "some subscribers do not read, all must get everything at last", Options{Connections: 100, Slow: 10, Volume: 100e6, Size: 10 << 10, Rate: 200, Publishers: 1}, false, slowReaders},
		{"mixed", "a portal's day: all forms and transports, private, shared and group messages, people who come and go", Options{Connections: 1000, Rate: 500, Duration: time.Minute, Publishers: 8}, true, mixed},
		{"restart", "people who come and go, half of the posts to all of them; restart the server meanwhile", Options{Connections: 300, Rate: 50, Duration: 40 * time.Second, Publishers: 8}, true, restart},
	}
}

// start makes publishers, reads memory, and has subscribers created.
func (r *run) start(create func()) error {
	before, err := r.meter.read()
	if err != nil {
		return err
	}
	r.report.MemoryBefore = before.memory
	r.publishers()
	create()
	return nil
}

// each makes every subscriber a channel of its own.
func (r *run) each() {
	for i := range r.Connections {
		subscribe, publish := r.newChannel()
		r.newSubscriber(subscribe, r.newStream(publish, i))
	}
}

// connectAll connects all subscribers, and records how fast.
func (r *run) connectAll(atOnce int) error {
	from := r.loop.Now()
	if err := r.connect(r.subs, atOnce); err != nil {
		return err
	}
	r.report.ConnectsPerSecond = float64(len(r.subs)) / (r.loop.Now() - from).Seconds()
	return nil
}

// gather connects all subscribers, and waits until each has received a greeting.
func (r *run) gather(atOnce int) error {
	if err := r.connectAll(atOnce); err != nil {
		return err
	}
	return r.greetAll()
}

// endWhen ends the measured part of a scenario whose people come and go: once back reports that all
// of them are there, and everything has arrived.
func (r *run) endWhen(back func() bool) error {
	r.resting = true
	if err := r.until("everybody is back", longestBreak+time.Minute, back); err != nil {
		return err
	}
	if err := r.awaitDeliveries(); err != nil {
		return err
	}
	return r.end()
}

func idle(r *run) error {
	if err := r.start(r.each); err != nil {
		return err
	}
	if err := r.connectAll(r.Concurrency); err != nil {
		return err
	}
	if err := r.rest(r.Settle); err != nil {
		return err
	}
	if err := r.begin(); err != nil {
		return err
	}
	if err := r.rest(r.Duration); err != nil {
		return err
	}
	r.lastNews = r.loop.Now()
	all := func() bool { return r.present == r.Connections }
	if r.Transport == Poll { // some may be between two requests
		_ = r.until("all are there", time.Second, all)
	}
	if !all() {
		r.fault(fmt.Sprintf("%d of %d connections are left", r.present, r.Connections))
	}
	return r.endWithMemory()
}

// endWithMemory ends the measured part, and divides what memory was added by the connections.
func (r *run) endWithMemory() error {
	if err := r.end(); err != nil {
		return err
	}
	if r.report.Memory > 0 {
		r.report.BytesPerConnection = float64(r.report.Memory-r.report.MemoryBefore) / float64(r.Connections)
	}
	return nil
}

func connectRate(r *run) error {
	if err := r.start(r.each); err != nil {
		return err
	}
	if err := r.begin(); err != nil {
		return err
	}
	if err := r.connectAll(r.Concurrency); err != nil {
		return err
	}
	return r.endWithMemory()
}

func fanout(r *run) error {
	if r.Rate != FlatOut {
		r.Publishers = 1
	}
	if err := r.start(func() {
		subscribe, publish := r.newChannel()
		for i := range r.Publishers {
			r.newStream(publish, i)
		}
		for range r.Connections {
			r.newSubscriber(subscribe, r.streams...)
		}
	}); err != nil {
		return err
	}
	return r.throughput(func(i int) *stream { return r.streams[i%len(r.streams)] })
}

func unicast(r *run) error {
	if err := r.start(r.each); err != nil {
		return err
	}
	return r.throughput(func(int) *stream { return r.streams[rand.IntN(len(r.streams))] })
}

// throughput connects and greets all subscribers, and posts for the duration: in pace, to the
// streams that pick returns for the number of the post, or flat out to all in turns.
func (r *run) throughput(pick func(i int) *stream) error {
	if err := r.gather(r.Concurrency); err != nil {
		return err
	}
	if err := r.begin(); err != nil {
		return err
	}
	if r.Rate == FlatOut {
		until := r.loop.Now() + r.Duration
		for _, p := range r.pubs {
			p.refill = p.turns(until, 0)
			p.next()
		}
		if err := r.rest(r.Duration); err != nil {
			return err
		}
	} else {
		posts := int(math.Ceil(r.Rate * r.Duration.Seconds()))
		if err := r.pace(posts, func(int) float64 { return r.Rate }, pick); err != nil {
			return err
		}
	}
	if err := r.awaitDeliveries(); err != nil {
		return err
	}
	return r.end()
}

// pace posts a number of messages, at a rate that may change from one to the next.
func (r *run) pace(posts int, rate func(i int) float64, pick func(i int) *stream) error {
	i := 0
	due := r.loop.Now()
	var next func()
	next = func() {
		for i < posts && due <= r.loop.Now() {
			r.lateness.add(r.loop.Now() - due)
			s := pick(i)
			s.by.enqueue(s, false)
			due += time.Duration(float64(time.Second) / rate(i))
			i++
		}
		if i < posts && !r.ending {
			r.loop.At(due, next)
		}
	}
	next()
	return r.until("everything is posted", 24*time.Hour, func() bool { return i == posts })
}

func returning(r *run) error {
	if err := r.start(func() {
		r.each()
		for _, s := range r.subs {
			s.keeps = true
		}
	}); err != nil {
		return err
	}
	if err := r.gather(256); err != nil {
		return err
	}
	for _, s := range r.subs {
		s.leave()
		if s.position == "" {
			return fmt.Errorf("a message came without an id to resume from")
		}
	}
	for _, p := range r.pubs {
		p.refill = p.turns(1<<62, uint32(r.Missed))
		p.next()
	}
	if err := r.until("what they miss is posted", 10*time.Minute, func() bool { return r.pending == 0 }); err != nil {
		return err
	}
	if err := r.rest(r.Settle); err != nil {
		return err
	}
	r.handshakes.reset()
	if err := r.begin(); err != nil {
		return err
	}
	if err := r.connectAll(r.Concurrency); err != nil {
		return err
	}
	if err := r.awaitDeliveries(); err != nil {
		return err
	}
	return r.end()
}

func slowReaders(r *run) error {
	if err := r.start(func() {
		subscribe, publish := r.newChannel()
		s := r.newStream(publish, 0)
		for range r.Connections {
			r.newSubscriber(subscribe, s)
		}
		for _, sub := range r.subs[:r.Slow] {
			sub.keeps, sub.slow = true, true
		}
	}); err != nil {
		return err
	}
	if err := r.gather(r.Concurrency); err != nil {
		return err
	}
	for _, s := range r.subs[:r.Slow] {
		s.away = true // and stays so if the server cuts it off
		s.conn.Pause()
	}
	if err := r.rest(r.Settle); err != nil {
		return err
	}
	before, err := r.meter.read()
	if err != nil {
		return err
	}
	r.report.MemoryBefore, r.report.MemoryPeak = before.memory, before.memory
	if err := r.begin(); err != nil {
		return err
	}
	if err := r.pace(int(r.Volume/int64(r.Size)), func(int) float64 { return r.Rate }, func(int) *stream { return r.streams[0] }); err != nil {
		return err
	}
	readers := r.subs[r.Slow:]
	missing := func() (n int) {
		for _, s := range readers {
			n += s.lost()
		}
		return n
	}
	if err := r.until("those who read have everything", time.Hour, func() bool {
		return r.pending == 0 && (missing() == 0 || r.loop.Now()-r.lastNews > r.Patience)
	}); err != nil {
		return err
	}
	if err := r.end(); err != nil { // the others may take their time
		return err
	}
	for _, s := range r.subs[:r.Slow] {
		switch {
		case s.conn != nil:
			s.away = false
			s.conn.Resume()
		default:
			s.dial()
		}
	}
	return r.awaitDeliveries()
}
