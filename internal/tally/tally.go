// Package tally counts the requests and messages of a day, and publishes the statistics of a
// process.
package tally

import (
	"maps"
	"sync"
	"time"

	"pushgate/internal/proto"
)

// The commands of batches. Posts of the text dialect are counted by them too; JSON-RPC calls are
// counted by their methods.
const (
	IncomingMessages = "incomingMessages"
	ChannelStats     = "channelStats"
	ServerStats      = "serverStats"
)

// unknown counts together what has no valid name, or what comes when there are already maxNames
// names.
const unknown = "unknown"

const (
	// maxNames bounds the names of a day's requests, and those of its messages, besides unknown:
	// clients choose types freely.
	maxNames = 128
	maxName  = 32 // bytes of a name
)

// Tally counts what happens to one portal in a day, from midnight on. Its methods may be called
// concurrently; a nil Tally counts nothing.
type Tally struct {
	zone  *time.Location // immutable: its midnight counts
	whole *Tally         // immutable: the sum of all portals; nil in that sum itself

	mu         sync.Mutex
	day        date
	begin, end time.Time // of the day
	daily      proto.Daily
}

type date struct {
	year  int
	month time.Month
	day   int
}

func newTally(zone *time.Location, whole *Tally) *Tally { return &Tally{zone: zone, whole: whole} }

// Request counts a request that has been carried out, by its command or method.
func (t *Tally) Request(command string) {
	for ; t != nil; t = t.whole {
		t.mu.Lock()
		t.rollOver()
		count(t.daily.Requests, command)
		t.mu.Unlock()
	}
}

// Message counts a message that has been accepted, by its type.
func (t *Tally) Message(typ string) {
	for ; t != nil; t = t.whole {
		t.mu.Lock()
		t.rollOver()
		count(t.daily.Messages, typ)
		t.mu.Unlock()
	}
}

// Today returns the counts since midnight.
func (t *Tally) Today() proto.Daily {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rollOver()
	return proto.Daily{Requests: maps.Clone(t.daily.Requests), Messages: maps.Clone(t.daily.Messages)}
}

// rollOver begins a new day if the date has changed, also if the clock was set back. t.mu is held.
func (t *Tally) rollOver() {
	// Without the monotonic clock, which does not follow changes of the date.
	now := time.Now().Round(0)
	if !now.Before(t.begin) && now.Before(t.end) {
		return
	}
	var today date
	today.year, today.month, today.day = now.In(t.zone).Date()
	t.begin = time.Date(today.year, today.month, today.day, 0, 0, 0, 0, t.zone)
	t.end = time.Date(today.year, today.month, today.day+1, 0, 0, 0, 0, t.zone)
	if today != t.day { // the day can be the same: some zones change their clocks at midnight
		t.day = today
		t.daily = proto.Daily{Requests: make(proto.Counts), Messages: make(proto.Counts)}
	}
}

func count(counts proto.Counts, name string) {
	if _, known := counts[name]; !known && (len(counts) >= maxNames || !isName(name)) {
		name = unknown
	}
	counts[name]++
}

// isName reports whether s matches ^[a-zA-Z0-9_*-]{1,32}$, which the original demands of a type.
func isName(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '*', c == '-':
		default:
			return false
		}
	}
	return s != "" && len(s) <= maxName
}
