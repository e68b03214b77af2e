// Package compare subscribes to two push servers with the same lists of channels, and reports what
// one of them sends and the other does not.
//
// Ids and times of messages differ between servers by nature, and so does how many records come in
// one frame. What is compared is the published texts, byte for byte, and their order.
package compare

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"pushgate/internal/wait"
)

// MaxIDs is how many ids may be compared at once: each takes two connections, and up to 16 MiB for
// messages that wait for their equals.
const MaxIDs = 500

// tick is how often it is looked whether messages are overdue.
const tick = 100 * time.Millisecond

// Options are those of [Run]. A, B, IDs and Out are required.
type Options struct {
	A, B *url.URL // scheme, host, and perhaps a user and password
	// CHANNEL_ID values with their signatures, as they are or escaped. Each id of a list is
	// compared on its own, because only a channel has an order. At most [MaxIDs] in all.
	IDs      []string
	ClientID string // of the portal, on a server with many
	// Long polls instead of WebSockets; without it, only where these are refused.
	Poll bool
	For  time.Duration // how long to compare; 0 is until ctx ends
	// How long from being connected to both servers to the comparison; 2 s. What comes before is no
	// difference.
	Warmup time.Duration
	// How long the equal of a message may take; 10 s. More than the mirror's queue takes.
	Patience time.Duration
	Out      io.Writer // differences as they are found, and a summary
	Started  func()    // called once, when the comparison begins; nil is nothing
	// Called several times a second with what was found so far, without times; nil is nothing.
	Progress func(Result)
}

// ErrNothing says that nothing was compared, so that there is no result.
var ErrNothing = errors.New("no message came from either server: nothing was compared")

// Run compares until ctx ends, or for the time that the options say. Then it waits for the equals
// of what has come, and returns what it found. The error is about the options, or [ErrNothing].
func Run(ctx context.Context, o Options) (Result, error) {
	o.Warmup, o.Patience = cmp.Or(o.Warmup, 2*time.Second), cmp.Or(o.Patience, 10*time.Second)
	ids := split(o.IDs)
	if n := len(ids); n == 0 || n > MaxIDs {
		return Result{}, fmt.Errorf("%d channel ids; there must be from 1 to %d", n, MaxIDs)
	}
	rep := &report{out: o.Out}
	pairs := make([]*pair, len(ids))
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	var readers sync.WaitGroup
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: len(ids), TLSHandshakeTimeout: dialTimeout}
	defer func() {
		stop()
		readers.Wait()
		transport.CloseIdleConnections()
	}()
	for i, id := range ids {
		p := &pair{name: fmt.Sprintf("id %d (%s…)", i+1, id[:min(6, len(id))]), warmup: o.Warmup, patience: o.Patience, report: rep}
		pairs[i] = p
		for s, base := range []*url.URL{o.A, o.B} {
			s := side(s)
			r := &reader{base: base, id: id, clientID: o.ClientID, poll: o.Poll, http: &http.Client{Transport: transport},
				connected: func(is bool) { p.connected(s, is, time.Now()) },
				take:      func(records []record) { p.take(s, records, time.Now()) },
				note:      func(err error) { rep.note("%s: not connected to %v: %v", p.name, s, err) }}
			readers.Go(func() {
				if err := r.run(reading); err != nil {
					rep.refused(p.name, s, err)
				}
			})
		}
	}
	rep.note("%d channel ids at A %s and B %s", len(pairs), o.A.Host, o.B.Host)
	compareUntil(ctx, o, pairs, rep)
	finish(pairs, o.Patience)
	stop()
	readers.Wait()
	for _, p := range pairs {
		p.finish()
		if !p.comparing(time.Now()) {
			rep.count(func(n *Result) { n.Absent++ })
		}
	}
	result := rep.end()
	if result.Received == [2]int{} && !result.Differs() {
		return result, ErrNothing
	}
	return result, nil
}

// compareUntil looks for overdue messages until ctx or the time of the comparison ends.
func compareUntil(ctx context.Context, o Options, pairs []*pair, rep *report) {
	if o.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.For)
		defer cancel()
	}
	for begun := false; ctx.Err() == nil; wait.For(ctx, tick) {
		ready := true
		for _, p := range pairs {
			p.settle(time.Now())
			ready = ready && p.comparing(time.Now())
		}
		if o.Progress != nil {
			o.Progress(rep.soFar())
		}
		if ready && !begun {
			begun = true
			rep.note("comparing")
			if o.Started != nil {
				o.Started()
			}
		}
	}
}

// finish gives what has come the time to be matched.
func finish(pairs []*pair, patience time.Duration) {
	for _, p := range pairs {
		p.close()
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(tick) {
		idle := true
		for _, p := range pairs {
			idle = idle && p.idle()
		}
		if idle {
			return
		}
	}
}

// split returns the ids of lists with their signatures, each once. Each part of a list is signed on
// its own.
func split(lists []string) (ids []string) {
	for _, list := range lists {
		if plain, err := url.QueryUnescape(list); err == nil {
			list = plain
		}
		for id := range strings.SplitSeq(list, "/") {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// ReadIDs reads CHANNEL_ID values, one on each line. Empty lines and those that begin with # are
// skipped. Errors name the line, not what is on it.
func ReadIDs(r io.Reader) (lists []string, err error) {
	scanner := bufio.NewScanner(r)
	for n := 1; scanner.Scan(); n++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if strings.ContainsAny(line, " \t&=?") {
			return nil, fmt.Errorf("line %d is no value of CHANNEL_ID, such as ID:PUBLIC.SIGNATURE/ID.SIGNATURE", n)
		}
		lists = append(lists, line)
		if len(lists) > MaxIDs {
			return nil, fmt.Errorf("line %d: more than %d values", n, MaxIDs)
		}
	}
	return lists, scanner.Err()
}
