package load

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"pushgate/tools/load/loop"
)

// tickEvery is how often progress is printed, and recorded for the plots.
const tickEvery = time.Second

// maxFaults is how many faults a report lists: further ones are usually the same.
const maxFaults = 10

// run is one scenario under way. It is owned by the goroutine that has called Run.
type run struct {
	Options
	ctx      context.Context
	loop     *loop.Loop
	progress io.Writer
	meter    *meter
	report   *Report

	subTargets, pubTargets []target
	subs                   []*subscriber
	pubs                   []*publisher
	streams                []*stream
	dials                  int // for turns of sources

	waiting   []*subscriber // to be connected by connect
	dialing   int
	present   int // subscribers whose connection is live
	out       int // subscribers whose connection the server has ended, and who are not back
	outSince  time.Duration
	pending   int // posts that are not answered
	expected  int // deliveries of accepted messages
	delivered int // of those that were expected and of others
	greetings int // subscribers that have been greeted
	lastNews  time.Duration
	resting   bool // no subscriber leaves any more
	restarts  bool // the server may be away: a connection that it does not take is no fault
	ending    bool
	broke     error // why the run cannot go on

	handshakes, latency, accepting, lateness histogram
	now                                      tick
	measuring                                time.Duration // when the measured part began
	before                                   usage
}

// tick is what happened since the last line of progress.
type tick struct {
	latency           histogram
	posted, delivered int
	at                time.Duration
	usage             usage
}

// Run carries out a scenario and returns its report. Progress, if not nil, gets a line each second.
// An error means that the scenario could not be carried out, or was interrupted; that messages were
// lost is in the report.
func Run(ctx context.Context, o Options, progress io.Writer) (*Report, error) {
	s, err := o.complete()
	if err != nil {
		return nil, err
	}
	r := &run{Options: o, ctx: ctx, progress: progress}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	defer r.loop.Close()
	r.report = newReport(&r.Options)
	err = s.run(r)
	r.ending = true
	if err == nil {
		err = r.broke
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w%s", o.Scenario, err, r.faultHint())
	}
	r.finish()
	return r.report, nil
}

// faultHint returns the first fault before an error, for the text of the error.
func (r *run) faultHint() string {
	if len(r.report.Faults) == 0 {
		return ""
	}
	return " (first fault: " + r.report.Faults[0] + ")"
}

func (r *run) prepare(ctx context.Context) (err error) {
	lookup := func(host string) (netip.Addr, error) { return resolve(ctx, host) }
	for _, u := range r.Sub {
		t, err := parseTarget(u, lookup)
		if err != nil {
			return err
		}
		r.subTargets = append(r.subTargets, t)
	}
	for _, u := range r.Pub {
		t, err := parseTarget(u, lookup)
		if err != nil {
			return err
		}
		r.pubTargets = append(r.pubTargets, t)
	}
	if err := r.room(); err != nil {
		return err
	}
	if r.meter, err = newMeter(r.PIDs, r.StorePIDs, r.Metrics); err != nil {
		return err
	}
	r.loop, err = loop.New()
	return err
}

// source returns the address for the next connection to come from.
func (r *run) source() netip.Addr {
	if len(r.Sources) == 0 {
		return netip.Addr{}
	}
	r.dials++
	return r.Sources[r.dials%len(r.Sources)]
}

// newChannel returns names for a new channel: for a subscriber and for a publisher.
func (r *run) newChannel() (subscribe, publish string) {
	var raw [16]byte
	rand.Read(raw[:])
	id := hex.EncodeToString(raw[:])
	if !r.Peer.Signs() {
		return id, id
	}
	return id + "." + r.Signer.sign([]byte(id)), id
}

// newStream makes a stream that a publisher sends to channels.
func (r *run) newStream(channels string, by int) *stream {
	p := r.pubs[by%len(r.pubs)]
	s := &stream{number: uint32(len(r.streams) + 1), channels: channels, by: p}
	r.streams = append(r.streams, s)
	p.streams = append(p.streams, s)
	return s
}

// newSubscriber makes a subscriber of channels who must get some streams.
func (r *run) newSubscriber(channels string, streams ...*stream) *subscriber {
	s := &subscriber{run: r, target: r.subTargets[len(r.subs)%len(r.subTargets)], channels: channels, form: r.Form, transport: r.Transport}
	s.watch(streams...)
	r.subs = append(r.subs, s)
	return s
}

func (s *subscriber) watch(streams ...*stream) {
	for _, one := range streams {
		one.watchers++
		s.cursors = append(s.cursors, cursor{stream: one})
	}
}

// publishers makes the connections that post.
func (r *run) publishers() {
	for i := range r.Publishers {
		p := &publisher{run: r, target: r.pubTargets[i%len(r.pubTargets)], body: newBody(r.Size)}
		r.pubs = append(r.pubs, p)
		p.dial()
	}
}

// after calls f after some time.
func (r *run) after(d time.Duration, f func()) { r.loop.At(r.loop.Now()+d, f) }

// until runs the loop until cond holds. It is an error if the context ends, or if that does not
// happen in time.
func (r *run) until(what string, limit time.Duration, cond func() bool) error {
	deadline := r.loop.Now() + limit
	for !cond() {
		switch now := r.loop.Now(); {
		case r.ctx.Err() != nil:
			return context.Cause(r.ctx)
		case r.broke != nil:
			return r.broke
		case now > deadline:
			return fmt.Errorf("not in %v: %s", limit, what)
		case now-r.now.at >= tickEvery:
			r.tick()
		}
		if err := r.loop.Step(20 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// rest runs the loop for some time.
func (r *run) rest(d time.Duration) error {
	end := r.loop.Now() + d
	return r.until("rest", d+time.Minute, func() bool { return r.loop.Now() >= end })
}

// connect connects subscribers, a number at a time, until all are live.
func (r *run) connect(subs []*subscriber, atOnce int) error {
	r.waiting = subs
	pump := func() {
		for r.dialing < atOnce && len(r.waiting) > 0 && r.broke == nil {
			s := r.waiting[0]
			r.waiting = r.waiting[1:]
			s.dial()
		}
	}
	limit := 30*time.Second + time.Duration(len(subs))*10*time.Millisecond
	return r.until("everybody is connected", limit, func() bool {
		pump()
		return len(r.waiting) == 0 && r.dialing == 0 && r.present >= len(subs)
	})
}

func (r *run) arrived(s *subscriber, took time.Duration) {
	if s.out {
		s.out = false
		r.report.Returns++
		if r.out--; r.out == 0 {
			r.report.LongestOut = max(r.report.LongestOut, (r.loop.Now() - r.outSince).Seconds())
		}
	}
	r.handshakes.add(took)
	r.dialing--
	r.present++
	r.lastNews = r.loop.Now()
	r.report.Connects++
}

// left records the end of a connection; the error is nil if it was wanted.
func (r *run) left(s *subscriber, was phase, err error) {
	switch was {
	case dialing:
		r.dialing--
	case live:
		r.present--
	}
	if err != nil && s.slow && !s.cut && was == live && s.lost() > 0 {
		s.cut = true
		r.report.CutOff++
	}
	switch {
	case err == nil:
	case errors.Is(err, errKey) && r.restarts && s.position != "":
		// A page asks its portal for other channels then.
		r.report.Rejected++
	case errors.Is(err, errKey):
		r.fail(err)
	case s.keeps && s.position != "" && was == live:
		r.report.Broken++
		r.report.breaks[err.Error()]++
		if !s.out {
			s.out = true
			if r.out++; r.out == 1 {
				r.outSince = r.loop.Now()
			}
		}
	case s.keeps && r.restarts && was == dialing:
		r.report.NotTaken++
	default:
		r.fault("a connection of a subscriber: " + err.Error())
	}
}

func (r *run) greet(s *subscriber) {
	if !s.greeted {
		s.greeted = true
		r.greetings++
	}
}

// greetAll sends greetings until every subscriber has had one: what is sent from then on must reach
// it. A subscriber also gets its first position from it.
func (r *run) greetAll() error {
	for attempt := 0; r.greetings < len(r.subs); attempt++ {
		if attempt == 10 {
			return fmt.Errorf("%d of %d subscribers received nothing in %d attempts", len(r.subs)-r.greetings, len(r.subs), attempt)
		}
		missed := make(map[*stream]bool)
		for _, s := range r.subs {
			if !s.greeted && !missed[s.cursors[0].stream] {
				missed[s.cursors[0].stream] = true
				s.cursors[0].stream.by.enqueue(s.cursors[0].stream, true)
			}
		}
		end := time.Duration(0)
		if err := r.until("greetings are answered", time.Minute, func() bool {
			if r.pending == 0 && end == 0 {
				end = r.loop.Now() + time.Second
			}
			return r.greetings == len(r.subs) || end > 0 && r.loop.Now() >= end
		}); err != nil {
			return err
		}
	}
	return r.until("greetings are answered", time.Minute, func() bool { return r.pending == 0 })
}

// begin starts the measured part.
func (r *run) begin() error {
	var err error
	r.before, err = r.meter.read()
	r.measuring = r.loop.Now()
	r.lastNews = r.measuring
	r.report.deliveredBefore, r.report.acceptedBefore = r.delivered, r.report.Accepted
	r.latency.reset()
	r.accepting.reset()
	return err
}

// end ends the measured part, which lasted until the last event.
func (r *run) end() error {
	after, err := r.meter.read()
	if err != nil {
		return err
	}
	rep := r.report
	rep.Seconds = max(r.lastNews-r.measuring, time.Millisecond).Seconds()
	delivered, accepted := r.delivered-rep.deliveredBefore, rep.Accepted-rep.acceptedBefore
	rep.DeliveriesPerSecond = float64(delivered) / rep.Seconds
	rep.AcceptedPerSecond = float64(accepted) / rep.Seconds
	rep.ServerCPU, rep.StoreCPU = (after.cpu - r.before.cpu).Seconds(), (after.storeCPU - r.before.storeCPU).Seconds()
	rep.OwnCPU = (after.ownCPU - r.before.ownCPU).Seconds()
	if delivered > 0 {
		rep.ServerMicros = rep.ServerCPU * 1e6 / float64(delivered)
		rep.StoreMicros = rep.StoreCPU * 1e6 / float64(delivered)
	}
	rep.Memory = after.memory
	rep.MemoryPeak = max(rep.MemoryPeak, after.memory)
	return nil
}

// resolve returns an address of a host name.
func resolve(ctx context.Context, host string) (netip.Addr, error) {
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range all {
		if a = a.Unmap(); a.Is4() {
			return a, nil
		}
	}
	if len(all) == 0 {
		return netip.Addr{}, errors.New(host + " has no address")
	}
	return all[0], nil
}
