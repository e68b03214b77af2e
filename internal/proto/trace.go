package proto

import (
	"math"
	"sync/atomic"
)

// Trace says to which OpenTelemetry trace a message belongs: the one of its post. Messages whose
// post was not sampled have none.
type Trace struct {
	ID   [16]byte // not zero
	Span [8]byte  // the span that caused what happens to the message next; not zero

	// Sent is when the log began to append the message, in unix nanoseconds; 0 before.
	Sent atomic.Int64
	// Heard is what this process keeps of a message that it was notified of. It is nil for other
	// messages. Like Sent, it is not part of the record.
	Heard any
}

// traceUser marks the trace among the params of single users, where every build can read the
// record: builds that do not know traces take it for the params of a user whom no portal has, so
// that no reader gets them. It comes after the params of all users. They begin with a brace, and
// the trace with traceMark, so that neither can be taken for the other.
const (
	traceUser = math.MaxInt64
	traceMark = 0
	traceLen  = 1 + 16 + 8
)

// valid reports whether both ids are set.
func (t *Trace) valid() bool { return t != nil && t.ID != [16]byte{} && t.Span != [8]byte{} }

// append appends the params that stand for t.
func (t *Trace) append(b []byte) []byte {
	b = append(b, traceMark)
	b = append(b, t.ID[:]...)
	return append(b, t.Span[:]...)
}

// cutTrace returns the params of users without the trace at their end, and the trace; nil if there
// is none.
func cutTrace(all []UserParams) ([]UserParams, *Trace) {
	last := len(all) - 1
	if last < 0 || all[last].User != traceUser || len(all[last].Params) != traceLen || all[last].Params[0] != traceMark {
		return all, nil
	}
	t := new(Trace)
	copy(t.Span[:], all[last].Params[1+copy(t.ID[:], all[last].Params[1:]):])
	if !t.valid() {
		return all, nil
	}
	if last == 0 {
		return nil, t
	}
	return all[:last], t
}
