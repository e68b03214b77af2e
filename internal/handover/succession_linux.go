package handover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	patience = 10 * time.Second
	// readyInterval is the time between two calls of Edge.Ready.
	readyInterval = 5 * time.Millisecond
	// acceptPause is how long to wait after a failure to accept a successor, usually for want of
	// descriptors.
	acceptPause = time.Second

	socketMode = 0o600
)

// Succession is one process in a sequence of processes that replace each other at the same
// addresses. Its Listen must be called before Run, by one goroutine.
type Succession struct {
	// Immutable after Open.
	listen func(address string) (net.Listener, error)
	logger *slog.Logger
	uid    int // user of predecessor and successor
	// patience is how long the other process may take to answer, except to become ready.
	patience    time.Duration
	predecessor *link
	door        *net.UnixListener // where a successor connects

	inherited map[string][]net.Listener // by address, those that Listen has not returned yet
	listeners []*listener               // those in use
	accepting chan struct{}             // closed when it is time to accept

	closing sync.Mutex // held to close the door, or to change whether that removes its file
}

// Open connects to the process that listens at path, to take over from it; if there is none, this
// process is the first. Listen opens with listen what is not inherited. Open fails if, for example,
// the other process runs as another user or has another version.
func Open(path string, listen func(address string) (net.Listener, error), logger *slog.Logger) (*Succession, error) {
	s := &Succession{listen: listen, logger: logger, uid: os.Geteuid(), patience: patience, inherited: make(map[string][]net.Listener), accepting: make(chan struct{})}
	address := &net.UnixAddr{Name: path, Net: "unixpacket"}
	conn, err := net.DialUnix(address.Net, nil, address)
	switch {
	case err == nil:
		l := newLink(conn)
		s.predecessor = &l
		if err = s.inherit(); err != nil {
			s.close()
		}
	// There is no predecessor, or it is dead.
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		err = s.beFirst(address)
	}
	if err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	return s, nil
}

// beFirst opens the door of a process without a predecessor.
func (s *Succession) beFirst(address *net.UnixAddr) (err error) {
	if info, err := os.Lstat(address.Name); err == nil && info.Mode().Type() == fs.ModeSocket {
		_ = os.Remove(address.Name) // if it fails, so does listening
	}
	if s.door, err = net.ListenUnix(address.Net, address); err != nil {
		return err
	}
	if err = os.Chmod(address.Name, socketMode); err != nil {
		s.door.Close()
	}
	return err
}

// inherit gets the listening sockets from the predecessor.
func (s *Succession) inherit() error {
	if err := s.predecessor.check(s.uid); err != nil {
		return err
	}
	s.predecessor.limit(s.patience)
	if err := s.predecessor.send(message{Version: version}); err != nil {
		return err
	}
	m, files, err := s.predecessor.receive()
	if err != nil {
		return fmt.Errorf("predecessor does not hand over: %w", err)
	}
	defer closeAll(files)
	switch {
	case m.Off != "":
		return fmt.Errorf("%w: %s", ErrStays, m.Off)
	case len(files) != len(m.Listeners):
		return errMessage
	}
	for i, address := range m.Listeners {
		l, err := net.FileListener(files[i])
		if err != nil {
			return err
		}
		if address != "" {
			s.inherited[address] = append(s.inherited[address], l)
		} else if s.door, _ = l.(*net.UnixListener); s.door == nil {
			l.Close()
		}
	}
	if s.door == nil {
		return errMessage
	}
	s.predecessor.limit(0)
	return nil
}

// Listen returns a listener at address: the predecessor's if it has one, else a new one. The
// successor will get it. It accepts nothing before Run is called. If there is a predecessor, that
// goes on accepting until the edge of this process is ready.
func (s *Succession) Listen(address string) (net.Listener, error) {
	l := &listener{address: address, accepting: s.accepting, closed: make(chan struct{})}
	if same := s.inherited[address]; len(same) > 0 {
		l.Listener, s.inherited[address] = same[0], same[1:]
	} else {
		var err error
		if l.Listener, err = s.listen(address); err != nil {
			return nil, err
		}
	}
	s.listeners = append(s.listeners, l)
	return l, nil
}

// Run takes the sessions of the predecessor, if there is one, and then waits for a successor. It
// hands over to it and then calls leave: this process accepts nothing any more and must end. Run
// returns when ctx ends, which should be after the last session has ended. It returns ErrStays
// earlier if the predecessor stays. It must be called only once.
func (s *Succession) Run(ctx context.Context, e Edge, leave func()) error {
	defer s.close()
	defer context.AfterFunc(ctx, s.close)()
	if s.predecessor == nil {
		close(s.accepting)
	} else if err := s.takeOver(ctx, e); err != nil {
		return err
	}
	for ctx.Err() == nil {
		conn, err := s.door.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			s.logger.Warn("accepting a successor failed", "error", err)
			pause(ctx, acceptPause)
			continue
		}
		if err := s.handOver(ctx, newLink(conn), e, leave); err != nil && ctx.Err() == nil {
			s.logger.Warn("hand-over failed; this process goes on", "error", err)
		}
	}
	return nil
}

// handOver hands everything over to a process that has connected. After an error this process goes
// on with what it still has.
func (s *Succession) handOver(ctx context.Context, successor link, e Edge, leave func()) error {
	defer successor.conn.Close()
	defer context.AfterFunc(ctx, func() { successor.conn.Close() })()
	err := s.negotiate(successor)
	if err == nil {
		s.logger.Info("handing over")
		g := &giver{successor: successor, patience: s.patience}
		if err = e.HandOver(ctx, g.give); err == nil {
			s.logger.Info("handed over", "sessions", g.given.Load())
		} else {
			err = fmt.Errorf("after %d sessions: %w", g.given.Load(), err)
		}
	}
	if err != nil {
		s.ownFiles(true)
		successor.limit(s.patience)
		_ = successor.send(message{Off: err.Error()})
		return err
	}
	s.close()
	for _, l := range s.listeners {
		l.pass()
	}
	leave()
	<-ctx.Done() // until then the edge may call give for more sessions
	return nil
}

// negotiate sends the listening sockets to a successor and waits until it is ready.
func (s *Succession) negotiate(successor link) error {
	if err := successor.check(s.uid); err != nil {
		return err
	}
	successor.limit(s.patience)
	m, files, err := successor.receive()
	closeAll(files)
	switch {
	case err != nil:
		return err
	case m.Version != version:
		return fmt.Errorf("%w: version %d here, %d there", errMessage, version, m.Version)
	}
	s.ownFiles(false) // the other process still needs the files, whichever of the two ends first
	if err := s.sendListeners(successor); err != nil {
		return err
	}
	successor.limit(0) // it may wait for Redis without limit
	m, files, err = successor.receive()
	closeAll(files)
	switch {
	case err != nil:
		return fmt.Errorf("successor did not become ready: %w", err)
	case !m.Ready:
		return errMessage
	}
	return nil
}

// close closes everything except the listeners that the service uses.
func (s *Succession) close() {
	if s.predecessor != nil {
		s.predecessor.conn.Close()
	}
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.door != nil {
		s.door.Close()
	}
	for _, same := range s.inherited {
		for _, l := range same {
			l.Close()
		}
	}
}

// takeOver takes the sessions of the predecessor, and returns when that has ended.
func (s *Succession) takeOver(ctx context.Context, e Edge) error {
	for e.Ready() != nil {
		if !pause(ctx, readyInterval) {
			return nil
		}
	}
	close(s.accepting)
	// Fails if the predecessor has closed; receive returns what it sent before.
	_ = s.predecessor.send(message{Ready: true})
	taken, refused := 0, 0
	for {
		m, files, err := s.predecessor.receive()
		switch {
		case errors.Is(err, errMessage):
		case err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			s.logger.Info("taken over", "sessions", taken, "refused", refused)
			s.ownFiles(true)
			return nil
		case m.Off != "":
			return fmt.Errorf("%w: %s", ErrStays, m.Off)
		default:
			err = s.adopt(ctx, m, files, e)
			closeAll(files)
		}
		if err == nil {
			taken++
			continue
		}
		refused++
		s.logger.Warn("taking a session failed; the predecessor keeps it", "error", err)
		_ = s.predecessor.send(message{Refused: err.Error()})
	}
}

// adopt takes one session. After an error, the predecessor still has it.
func (s *Succession) adopt(ctx context.Context, m message, files []*os.File, e Edge) error {
	if m.Session == nil || len(files) != 1 {
		return errMessage
	}
	r, err := m.Session.record()
	if err != nil {
		return err
	}
	conn, err := net.FileConn(files[0])
	if err != nil {
		return err
	}
	endProbes(conn)
	err = e.Adopt(ctx, r, conn, func() error { return s.predecessor.send(message{Taken: true}) })
	if err != nil {
		conn.Close()
	}
	return err
}

// sendListeners sends all sockets at which this process listens.
func (s *Succession) sendListeners(successor link) error {
	m, sockets := message{Listeners: []string{""}}, []syscall.Conn{s.door}
	for _, l := range s.listeners {
		// For another one the successor must try to listen itself.
		if socket, ok := l.Listener.(syscall.Conn); ok {
			m.Listeners, sockets = append(m.Listeners, l.address), append(sockets, socket)
		}
	}
	return hold(sockets, nil, func(descriptors []int) error { return successor.send(m, descriptors...) })
}

// hold calls f with the descriptors of sockets, and none of them is closed meanwhile. The File
// methods of package net cannot be used: calling Fd of such a file makes the socket blocking, for
// every process that shares it.
func hold(sockets []syscall.Conn, descriptors []int, f func([]int) error) error {
	if len(sockets) == 0 {
		return f(descriptors)
	}
	raw, err := sockets[0].SyscallConn()
	if err != nil {
		return err
	}
	if closed := raw.Control(func(fd uintptr) { err = hold(sockets[1:], append(descriptors, int(fd)), f) }); closed != nil {
		return closed
	}
	return err
}

// ownFiles sets whether this process removes the files of its unix sockets when it closes them.
func (s *Succession) ownFiles(yes bool) {
	s.closing.Lock()
	s.door.SetUnlinkOnClose(yes)
	s.closing.Unlock()
	for _, l := range s.listeners {
		l.ownFile(yes)
	}
}

// pause waits, and reports false if ctx ended meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
