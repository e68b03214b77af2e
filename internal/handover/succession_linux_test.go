package handover

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pushgate/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// TestSuccession: three processes, one after another, serve the same clients, and at each moment
// one of them accepts.
func TestSuccession(t *testing.T) {
	descriptors(t)
	path := socketPath(t)
	// Left by a dead process.
	left, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	p := start(t, path, nil)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	clients := p.clients(t, 20)
	for _, word := range []string{"first", "second", "third"} {
		p.reach(t, clients, word)
		next := start(t, path, nil)
		if next.listener.Addr().String() != p.listener.Addr().String() {
			t.Errorf("listens at %v, not at %v", next.listener.Addr(), p.listener.Addr())
		}
		<-p.left
		testkit.Eventually(t, "all are the successor's", func() bool { return p.edge.count() == 0 && next.edge.count() == len(clients) })
		p.stop()
		clients = append(clients, next.clients(t, 1)...)
		p = next
		p.notProbed(t)
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	p.reach(t, clients, "last")
	p.stop()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// TestSuccessorIsReadyFirst: the predecessor keeps everything until the successor is ready.
func TestSuccessorIsReadyFirst(t *testing.T) {
	descriptors(t)
	path := socketPath(t)
	p := start(t, path, nil)
	next := start(t, path, func(p *process) { p.edge.ready.Store(false) })
	clients := p.clients(t, 10)
	p.reach(t, clients, "still here")
	next.edge.ready.Store(true)
	<-p.left
	testkit.Eventually(t, "all are the successor's", func() bool { return next.edge.count() == len(clients) })
	next.reach(t, clients, "there now")
}

// TestSuccessorTakesNothing: sessions that the successor does not take stay where they are, and it
// takes over all the same.
func TestSuccessorTakesNothing(t *testing.T) {
	descriptors(t)
	path := socketPath(t)
	p := start(t, path, nil)
	clients := p.clients(t, 3)
	next := start(t, path, func(p *process) { p.edge.full.Store(true) })
	<-p.left
	p.reach(t, clients, "still here")
	next.reach(t, next.clients(t, 1), "there now")
}

// TestSuccessorsThatFail: after a successor has failed, the process goes on, and another one may
// come.
func TestSuccessorsThatFail(t *testing.T) {
	for name, c := range map[string]struct {
		lost int // sessions that either process may have
		act  func(*testing.T, link)
	}{
		"it does not answer": {0, func(t *testing.T, l link) { l.hear(t) }},
		"another version": {0, func(t *testing.T, l link) {
			l.say(t, message{Version: version + 1})
			if m := l.hear(t); m.Off == "" {
				t.Errorf("got %+v", m)
			}
		}},
		"it dies before it is ready": {0, func(t *testing.T, l link) {
			l.say(t, message{Version: version})
			l.hear(t)
			l.conn.Close()
		}},
		"it dies with a session": {0, func(t *testing.T, l link) {
			l.say(t, message{Version: version})
			l.hear(t)
			l.say(t, message{Ready: true})
			l.hear(t)
			l.conn.Close()
		}},
		"it dies before it reads a session": {0, func(t *testing.T, l link) {
			l.say(t, message{Version: version})
			l.hear(t)
			l.say(t, message{Ready: true})
			l.conn.Close()
		}},
		"it gets a session and does not answer": {1, func(t *testing.T, l link) {
			l.say(t, message{Version: version})
			l.hear(t)
			l.say(t, message{Ready: true})
			l.hear(t)
			if m := l.hear(t); m.Off == "" {
				t.Errorf("got %+v", m)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			descriptors(t)
			path := socketPath(t)
			p := start(t, path, nil)
			clients := p.clients(t, 3)
			l := raw(t, path)
			c.act(t, l)
			l.conn.Close()
			next := start(t, path, nil)
			<-p.left
			testkit.Eventually(t, "all are the successor's", func() bool { return next.edge.count() == len(clients)-c.lost })
			if c.lost == 0 {
				next.reach(t, clients, "as before")
			}
		})
	}
}

// predecessor listens at path in place of a process, and calls act for the first connection.
func predecessor(t *testing.T, path string, act func(l link, door int)) {
	t.Helper()
	door, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	var file int
	if err := hold([]syscall.Conn{door}, nil, func(descriptors []int) error { file = descriptors[0]; return nil }); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		conn, err := door.AcceptUnix()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		l := newLink(conn)
		l.limit(10 * time.Second)
		if m := l.hear(t); m.Version != version {
			t.Errorf("%+v", m)
		}
		act(l, file)
	})
	t.Cleanup(func() {
		running.Wait()
		door.Close()
	})
}

// TestFailedHandOverIsLogged: "handed over" is logged only after success; after a failure the log
// has the reason.
func TestFailedHandOverIsLogged(t *testing.T) {
	descriptors(t)
	path := socketPath(t)
	var log testkit.Buffer
	p := start(t, path, func(p *process) { p.logger = slog.New(slog.NewTextHandler(&log, nil)) })
	p.clients(t, 3)
	l := raw(t, path)
	l.say(t, message{Version: version})
	l.hear(t)
	l.say(t, message{Ready: true})
	l.hear(t) // a session
	l.conn.Close()
	testkit.Eventually(t, "a failure in the log", func() bool { return strings.Contains(log.String(), "hand-over failed") })
	if text := log.String(); strings.Contains(text, `"handed over"`) || !strings.Contains(text, "level=WARN") || !strings.Contains(text, "after 0 sessions: ") {
		t.Error(text)
	}
	start(t, path, nil)
	<-p.left
	if text := log.String(); strings.Count(text, `"handed over" sessions=3`) != 1 || strings.Count(text, "level=WARN") != 1 {
		t.Error(text)
	}
}

// TestPredecessorsThatFail: if the predecessor dies, the successor goes on alone; if the
// predecessor stays, the successor ends.
func TestPredecessorsThatFail(t *testing.T) {
	descriptors(t)
	begin := func(t *testing.T, l link, door int) {
		l.say(t, message{Listeners: []string{""}}, door)
		if m := l.hear(t); !m.Ready {
			t.Errorf("%+v", m)
		}
	}
	t.Run("it dies", func(t *testing.T) {
		path := socketPath(t)
		predecessor(t, path, func(l link, door int) { begin(t, l, door) })
		p := start(t, path, nil)
		next := start(t, path, nil)
		<-p.left
		next.reach(t, next.clients(t, 1), "here")
	})
	t.Run("it stays", func(t *testing.T) {
		path := socketPath(t)
		predecessor(t, path, func(l link, door int) {
			begin(t, l, door)
			l.say(t, message{Off: "no"})
		})
		p := start(t, path, nil)
		if err := <-p.ended; !errors.Is(err, ErrStays) {
			t.Error(err)
		}
	})
	t.Run("it gives up, and does not listen any more", func(t *testing.T) {
		path := socketPath(t)
		predecessor(t, path, func(l link, door int) {
			begin(t, l, door)
			for range 10 {
				l.say(t, message{Session: least.session()})
			}
			l.say(t, message{Off: "no"})
		})
		p := start(t, path, nil)
		if err := <-p.ended; !errors.Is(err, ErrStays) {
			t.Error(err)
		}
	})
	t.Run("it speaks of what nobody knows", func(t *testing.T) {
		path := socketPath(t)
		var refused atomic.Int64
		predecessor(t, path, func(l link, door int) {
			begin(t, l, door)
			for _, send := range []func(){
				func() { l.conn.Write([]byte("{")) },
				func() { l.conn.Write(make([]byte, maxMessage+1)) },
				// Without its socket.
				func() { l.say(t, message{Session: least.session()}) },
				// With too many.
				func() { l.say(t, message{Session: least.session()}, door, door) },
				// Without channels.
				func() { l.say(t, message{Session: &session{Dialect: "text"}}, door) },
				func() {
					f, _ := os.Open(os.DevNull)
					defer f.Close()
					l.say(t, message{Session: least.session()}, int(f.Fd()))
				}, // not a socket
				func() { l.say(t, message{}) },
			} {
				send()
				if m := l.hear(t); m.Refused != "" {
					refused.Add(1)
				}
			}
		})
		p := start(t, path, nil)
		testkit.Eventually(t, "all are refused", func() bool { return refused.Load() == 7 })
		if n := p.edge.count(); n != 0 {
			t.Errorf("%d sessions", n)
		}
	})
	for name, m := range map[string]message{"it passes nothing": {}, "it refuses": {Off: "no"}, "it names more than it passes": {Listeners: []string{"", "x"}}} {
		t.Run(name, func(t *testing.T) {
			path := socketPath(t)
			predecessor(t, path, func(l link, door int) {
				if len(m.Listeners) > 0 {
					l.say(t, m, door)
				} else {
					l.say(t, m)
				}
			})
			if _, err := Open(path, listen, slog.New(slog.DiscardHandler)); err == nil || m.Off != "" && !errors.Is(err, ErrStays) {
				t.Error(err)
			}
		})
	}
}

// TestStrangersAreRefused: a process of another user can neither take nor pass connections.
func TestStrangersAreRefused(t *testing.T) {
	descriptors(t)
	path := socketPath(t)
	p := start(t, path, func(p *process) { p.uid++ })
	client := p.clients(t, 1)
	l := raw(t, path)
	if m, files, err := l.receive(); err != nil || m.Off == "" || len(files) > 0 {
		t.Errorf("%+v %v %v", m, files, err)
	}
	p.reach(t, client, "still here")
	if err := raw(t, path).check(os.Geteuid() + 1); !errors.Is(err, errStranger) {
		t.Error(err)
	}
}

// TestPathsThatAreTaken: a file that is not a socket is not replaced.
func TestPathsThatAreTaken(t *testing.T) {
	descriptors(t)
	path := socketPath(t)
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, listen, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("opened")
	}
	if text, err := os.ReadFile(path); string(text) != "x" {
		t.Error(err)
	}
}

// TestGiveWithoutSocket: a connection that is not a socket, or is closed, is not passed on.
func TestGiveWithoutSocket(t *testing.T) {
	path := socketPath(t)
	start(t, path, nil)
	g := &giver{successor: raw(t, path), patience: time.Second}
	client, server := net.Pipe()
	client.Close()
	server.Close()
	if taken, err := g.give(least, server); taken || err != nil {
		t.Errorf("%t %v", taken, err)
	}
	l, err := listen(address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if taken, err := g.give(least, conn); taken || err != nil {
		t.Errorf("%t %v", taken, err)
	}
}
