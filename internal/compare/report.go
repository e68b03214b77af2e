package compare

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// maxLines bounds the differences that are shown one by one. All are counted.
const maxLines = 200

// maxDelays bounds the sample of time differences.
const maxDelays = 10_000

// Result is what a comparison found.
type Result struct {
	Received [2]int // messages from A and from B
	Matched  int    // that both sent, byte for byte
	Only     [2]int // that only A, or only B, sent
	Changed  int    // that differ in some bytes
	Order    int    // that came in another place among the others
	Refused  int    // ids that a server refused
	Absent   int    // ids that could not be subscribed at both servers
	Gaps     [2]int // notes of pushgate that its log has lost messages
	Strays   int    // received while the comparison began, without an equal; no difference
	// Time from a message at A to its equal at B, negative if B was first: median, and the values
	// that one in a hundred is below and above.
	Median, Low, High time.Duration
}

// Differs reports whether the servers did not send the same.
func (r Result) Differs() bool {
	return r.Only[sideA]+r.Only[sideB]+r.Changed+r.Order+r.Refused+r.Absent+r.Gaps[sideA]+r.Gaps[sideB] > 0
}

// report writes differences as they are found, and counts them. Its methods may be called
// concurrently. It shows nothing of bodies but their type, and of ids the first six characters.
type report struct {
	mu     sync.Mutex
	out    io.Writer
	lines  int
	result Result
	delays []time.Duration // a sample
}

// line writes a line; one about a difference only if there were not too many. r.mu is held.
func (r *report) line(format string, args ...any) {
	if r.lines++; r.lines <= maxLines {
		fmt.Fprintf(r.out, format+"\n", args...)
	} else if r.lines == maxLines+1 {
		fmt.Fprintf(r.out, "more differences are only counted\n")
	}
}

// describe returns what may be shown of a record.
func describe(r record) string {
	what := "no JSON"
	if module, command := r.kind(); module != "" || command != "" {
		what = fmt.Sprintf("%q", module+"_"+command)
	}
	return fmt.Sprintf("%s, %d bytes, mid %s, at %s", what, len(r.body), r.mid, r.at.Format("15:04:05.000"))
}

func (r *report) received(s side) { r.count(func(n *Result) { n.Received[s]++ }) }
func (r *report) gap(s side)      { r.count(func(n *Result) { n.Gaps[s]++ }) }
func (r *report) stray()          { r.count(func(n *Result) { n.Strays++ }) }

func (r *report) count(change func(*Result)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.result)
}

func (r *report) matched(took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Matched++
	if len(r.delays) < maxDelays {
		r.delays = append(r.delays, took)
	} else if i := rand.IntN(r.result.Matched); i < maxDelays {
		r.delays[i] = took
	}
}

func (r *report) missing(name string, s side, what record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Only[s]++
	r.line("%s: only at %v: %s", name, s, describe(what))
}

func (r *report) changed(name string, a, b record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Changed++
	first, _ := a.common(&b)
	r.line("%s: changed from byte %d on: at A %s; at B %s", name, first, describe(a), describe(b))
}

func (r *report) order(name string, s side, what record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Order++
	r.line("%s: later at %v than others that came after it at %v: %s", name, s, s.other(), describe(what))
}

func (r *report) refused(name string, s side, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Refused++
	r.line("%s: refused by %v: %v", name, s, err)
}

// note writes a line that is no difference.
func (r *report) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, format+"\n", args...)
}

// soFar returns what was found until now.
func (r *report) soFar() Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.result
}

// end returns what was found, and writes it.
func (r *report) end() Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := &r.result
	if len(r.delays) > 0 {
		slices.Sort(r.delays)
		at := func(share float64) time.Duration { return r.delays[int(share*float64(len(r.delays)-1))] }
		n.Median, n.Low, n.High = at(0.5), at(0.01), at(0.99)
	}
	fmt.Fprintf(r.out, "received: %d at A, %d at B; equal: %d\n", n.Received[sideA], n.Received[sideB], n.Matched)
	fmt.Fprintf(r.out, "differences: only at A %d, only at B %d, changed %d, order %d\n", n.Only[sideA], n.Only[sideB], n.Changed, n.Order)
	if n.Refused+n.Absent > 0 {
		fmt.Fprintf(r.out, "ids that were refused: %d, that were not connected to both: %d\n", n.Refused, n.Absent)
	}
	if n.Gaps[sideA]+n.Gaps[sideB] > 0 {
		fmt.Fprintf(r.out, "gaps that a server reported: A %d, B %d\n", n.Gaps[sideA], n.Gaps[sideB])
	}
	if n.Strays > 0 {
		fmt.Fprintf(r.out, "not counted, while the comparison began: %d\n", n.Strays)
	}
	if n.Matched > 0 {
		fmt.Fprintf(r.out, "B after A: median %s, 1%% below %s, 1%% above %s\n", millis(n.Median), millis(n.Low), millis(n.High))
	}
	return *n
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }
