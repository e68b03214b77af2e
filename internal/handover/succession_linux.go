package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	patience = 10 * time.Second
	// readyInterval is the time between two looks whether the sessions can be served.
	readyInterval = 5 * time.Millisecond
	// acceptPause is how long to wait after a successor could not be let in, for want of descriptors as a rule.
	acceptPause = time.Second

	socketMode = 0o600
)

// Succession is the place of a process in a line of them, one after another, that serve the same addresses. Its Listen is called before
// Run, by one goroutine.
type Succession struct {
	// Immutable after Open.
	listen      func(address string) (net.Listener, error)
	logger      *slog.Logger
	uid         int           // of whoever may be before or after this process
	patience    time.Duration // how long the other process may take to answer, unless it is to become ready
	predecessor *link
	door        *net.UnixListener // where a successor comes

	inherited map[string][]net.Listener // by address, those that nobody has asked for yet
	listeners []*listener               // those in use
	accepting chan struct{}             // closed when it is time to accept

	closing sync.Mutex // held while the door is closed, or it is said whose its file is
}

// Open finds the process at the socket of a path, to take over from it; if there is none, this process is the first. What it does not inherit
// is opened by listen. The error may be that the other process runs as another user or does not understand this one.
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
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED): // nobody has been here, or his process is dead
		err = s.settle(address)
	}
	if err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	return s, nil
}

// settle makes this process the first.
func (s *Succession) settle(address *net.UnixAddr) (err error) {
	if info, err := os.Lstat(address.Name); err == nil && info.Mode().Type() == fs.ModeSocket {
		_ = os.Remove(address.Name) // or listening says why not
	}
	if s.door, err = net.ListenUnix(address.Net, address); err != nil {
		return err
	}
	if err = os.Chmod(address.Name, socketMode); err != nil {
		s.door.Close()
	}
	return err
}

// inherit takes the listening sockets over from the predecessor.
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
		return fmt.Errorf("the predecessor does not hand over: %w", err)
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

// Listen returns the socket of an address that the predecessor had, or a new one, for this process and its successor. It accepts nothing
// before Run, and not before the edge is ready either if there is a predecessor, who goes on accepting for so long.
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

// Run takes the sessions of the predecessor over, if there is one, and then waits for a successor, to which it hands over, and then calls
// leave: the process is to end, and accepts nothing any more. It returns when ctx ends, which is to be when all sessions are gone; or earlier
// with ErrStays. It is called once.
func (s *Succession) Run(ctx context.Context, e Edge, leave func()) error {
	defer s.close()
	defer context.AfterFunc(ctx, s.close)()
	if s.predecessor == nil {
		close(s.accepting)
	} else if err := s.succeed(ctx, e); err != nil {
		return err
	}
	for ctx.Err() == nil {
		conn, err := s.door.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			s.logger.Warn("no successor can be let in", "error", err)
			pause(ctx, acceptPause)
			continue
		}
		if err := s.bequeath(ctx, newLink(conn), e, leave); err != nil && ctx.Err() == nil {
			s.logger.Warn("hand-over failed; this process goes on", "error", err)
		}
	}
	return nil
}

// bequeath hands everything over to a process that has come to the door. After an error all is as before.
func (s *Succession) bequeath(ctx context.Context, successor link, e Edge, leave func()) error {
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
		s.own(true)
		successor.limit(s.patience)
		_ = successor.send(message{Off: err.Error()})
		return err
	}
	s.close()
	for _, l := range s.listeners {
		l.pass()
	}
	leave()
	<-ctx.Done() // there may be more sessions to give until then
	return nil
}

// negotiate gives the sockets to a successor and waits until it is ready.
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
	s.own(false) // whoever of the two ends first, the other one needs the files
	if err := s.sendListeners(successor); err != nil {
		return err
	}
	successor.limit(0) // it may wait for Redis as long as it likes
	m, files, err = successor.receive()
	closeAll(files)
	switch {
	case err != nil:
		return fmt.Errorf("the successor has not become ready: %w", err)
	case !m.Ready:
		return errMessage
	}
	return nil
}

// close closes all but what is in use by the service.
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

// succeed takes the place of the predecessor, and returns when it has gone.
func (s *Succession) succeed(ctx context.Context, e Edge) error {
	for e.Ready() != nil {
		if !pause(ctx, readyInterval) {
			return nil
		}
	}
	close(s.accepting)
	_ = s.predecessor.send(message{Ready: true}) // an error: it has gone, or has said that it stays, which is yet to be read
	taken, refused := 0, 0
	for {
		m, files, err := s.predecessor.receive()
		switch {
		case errors.Is(err, errMessage):
		case err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			s.logger.Info("taken over", "sessions", taken, "refused", refused)
			s.own(true)
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
		s.logger.Warn("a session not taken", "error", err)
		_ = s.predecessor.send(message{Refused: err.Error()})
	}
}

// adopt takes one session. After an error it has not.
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
		if socket, ok := l.Listener.(syscall.Conn); ok { // else the successor will find out whether it can listen there
			m.Listeners, sockets = append(m.Listeners, l.address), append(sockets, socket)
		}
	}
	return hold(sockets, nil, func(descriptors []int) error { return successor.send(m, descriptors...) })
}

// hold calls f with the descriptors of sockets, none of which is closed meanwhile. The files that net gives of sockets would not do: asked
// for their descriptors they make a socket block, for all who share it.
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

// own says whether the files of unix sockets are this process's to remove when it closes them.
func (s *Succession) own(yes bool) {
	s.closing.Lock()
	s.door.SetUnlinkOnClose(yes)
	s.closing.Unlock()
	for _, l := range s.listeners {
		l.own(yes)
	}
}

// giver gives sessions to a successor, one at a time.
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
	g.successor.limit(g.patience)
	m := message{Session: r.session()}
	if raw.Control(func(fd uintptr) { err = g.successor.send(m, int(fd)) }) != nil || errors.Is(err, errTooLong) {
		return false, nil
	}
	if g.err = err; err != nil {
		return false, err
	}
	answer, files, err := g.successor.receive()
	closeAll(files)
	if g.err = err; err != nil {
		// The end of the socket is that of the process, or it has given up before it took the session. Otherwise nobody knows.
		return !errors.Is(err, io.EOF), err
	}
	if answer.Taken {
		g.given.Add(1)
	}
	return answer.Taken, nil
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
