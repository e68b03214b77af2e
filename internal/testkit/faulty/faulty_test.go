package faulty

import (
	"bufio"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"pushgate/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// echo starts a server that echoes what it receives.
func echo(t *testing.T, network, addr string) net.Addr {
	t.Helper()
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	return ln.Addr()
}

type client struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func dial(t *testing.T, p *Proxy) client {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return client{conn, t, bufio.NewReader(conn)}
}

func (c client) say(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

func (c client) hear(want string) {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	if got, err := c.r.ReadString('\n'); err != nil || got != want+"\n" {
		c.t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

// ends checks that the connection is closed after these bytes, and not only silent.
func (c client) ends(want string) {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	got, err := io.ReadAll(c.r)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		c.t.Fatal("still open")
	}
	if string(got) != want {
		c.t.Fatalf("got %q before the end, want %q", got, want)
	}
}

func (c client) silent(d time.Duration) {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(d))
	if b, err := c.r.ReadByte(); err == nil {
		c.t.Fatalf("got %q during a stall", b)
	}
}

func TestForwardsTCPAndUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "echo.sock")
	echo(t, "unix", path)
	for _, upstream := range []string{echo(t, "tcp", "127.0.0.1:0").String(), "unix:" + path} {
		c := dial(t, Start(t, upstream))
		c.say("hello")
		c.hear("hello")
	}
}

func TestCutClosesOldOnesOnly(t *testing.T) {
	p := Start(t, echo(t, "tcp", "127.0.0.1:0").String())
	c := dial(t, p)
	c.say("one")
	c.hear("one")
	p.Cut()
	c.ends("")
	c = dial(t, p)
	c.say("two")
	c.hear("two")
}

func TestStallKeepsBytesForLater(t *testing.T) {
	p := Start(t, echo(t, "tcp", "127.0.0.1:0").String())
	c := dial(t, p)
	c.say("one")
	c.hear("one")
	p.Stall()
	p.Stall()
	c.say("two")
	c.silent(30 * time.Millisecond)
	p.Resume()
	p.Resume()
	c.hear("two")
}

func TestStallRepliesLetsRequestsPass(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	p := Start(t, server.Addr().String())
	c := dial(t, p)
	conn, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := client{conn, t, bufio.NewReader(conn)}
	p.StallReplies()
	c.say("request")
	s.hear("request")
	s.say("reply")
	c.silent(30 * time.Millisecond)
	p.Resume()
	c.hear("reply")
}

func TestStrandKeepsTheRepliesOfOldOnes(t *testing.T) {
	p := Start(t, echo(t, "tcp", "127.0.0.1:0").String())
	old := dial(t, p)
	old.say("one")
	old.hear("one")
	p.Strand()
	old.say("two")
	fresh := dial(t, p)
	fresh.say("three")
	fresh.hear("three")
	old.silent(30 * time.Millisecond)
	p.Cut()
	old.ends("")
}

func TestRefuseClosesNewOnesOnly(t *testing.T) {
	p := Start(t, echo(t, "tcp", "127.0.0.1:0").String())
	old := dial(t, p)
	old.say("one")
	old.hear("one")
	p.Refuse(true)
	dial(t, p).ends("")
	old.say("two")
	old.hear("two")
	p.Refuse(false)
	c := dial(t, p)
	c.say("three")
	c.hear("three")
}

func TestCutAfterCountsReplies(t *testing.T) {
	p := Start(t, echo(t, "tcp", "127.0.0.1:0").String())
	c := dial(t, p)
	p.CutAfter(6)
	c.say("one")
	c.hear("one")
	c.say("two")
	c.ends("tw")
	c = dial(t, p)
	c.say("three")
	c.hear("three")
}

func TestDelay(t *testing.T) {
	p := Start(t, echo(t, "tcp", "127.0.0.1:0").String())
	p.Delay(20 * time.Millisecond)
	c := dial(t, p)
	began := time.Now()
	c.say("one")
	c.hear("one")
	if took := time.Since(began); took < 40*time.Millisecond {
		t.Errorf("the reply took %v, want a delay in each direction", took)
	}
}

func TestCloseDuringStall(t *testing.T) {
	p := Start(t, echo(t, "tcp", "127.0.0.1:0").String())
	c := dial(t, p)
	p.Stall()
	c.say("never")
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	c.ends("")
}
