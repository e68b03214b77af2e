// Package contain keeps a panic in the work for one connection or one message from ending the
// process.
package contain

import "runtime/debug"

// Report is called for each panic that was recovered, with where it was, its value, and the stack
// of the goroutine. It may be called concurrently. With a nil Report nothing is recovered: tests
// want to see the panic.
type Report func(where string, value any, stack []byte)

// Recover recovers a panic of the function that deferred it, reports it, and calls end, which may
// be nil. end must not need a lock that the panic may have left held. A panic of end is reported,
// too.
func (r Report) Recover(where string, end func()) {
	if r == nil {
		return
	}
	v := recover()
	if v == nil {
		return
	}
	r(where, v, debug.Stack())
	if end != nil {
		defer r.Recover(where, nil)
		end()
	}
}
