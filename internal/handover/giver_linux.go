package handover

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// giver passes sessions to a successor, one at a time.
type giver struct {
	patience time.Duration // immutable
	given    atomic.Int64

	mu        sync.Mutex
	successor link
	err       error // the first one
}

// give implements [Give].
func (g *giver) give(r Record, conn net.Conn) (taken bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return false, g.err
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false, nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false, nil
	}
	taken, older, err := g.offer(raw, r)
	if older && r.Token != nil {
		// A user is put out there, too, but not a single token of his before he reconnects.
		r.Token = nil
		taken, _, err = g.offer(raw, r)
	}
	return taken, err
}

// offer offers a session to the successor. older says that it did not understand it: a process of
// an earlier version refuses a session with what it does not know. g.mu is held.
func (g *giver) offer(raw syscall.RawConn, r Record) (taken, older bool, err error) {
	g.successor.limit(g.patience)
	m := message{Session: r.session()}
	if raw.Control(func(fd uintptr) { err = g.successor.send(m, int(fd)) }) != nil || errors.Is(err, errTooLong) {
		return false, false, nil
	}
	if g.err = err; err != nil {
		return false, false, err
	}
	answer, files, err := g.successor.receive()
	closeAll(files)
	if g.err = err; err != nil {
		// At io.EOF the successor has ended, or has given up, without taking the session. After any
		// other error it may have taken it.
		return !errors.Is(err, io.EOF), false, err
	}
	if answer.Taken {
		g.given.Add(1)
	}
	return answer.Taken, answer.Refused == errMessage.Error(), nil
}
