package handover

import (
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"pushgate/internal/testkit"
)

// TestOlderSuccessorsTakeTokens: a successor of an earlier version, which does not know the hash of
// a token, gets the session without it. One that refuses for another reason is not asked again.
func TestOlderSuccessorsTakeTokens(t *testing.T) {
	descriptors(t)
	for _, c := range []struct {
		why   string
		asked int
		taken bool
	}{{errMessage.Error(), 2, true}, {"no room", 1, false}} {
		fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET, 0)
		if err != nil {
			t.Fatal(err)
		}
		ours, theirs := testLink(t, fds[0]), testLink(t, fds[1])
		asked := make(chan int)
		go func() {
			n := 0
			for {
				m, files, err := theirs.receive()
				closeAll(files)
				if err != nil {
					asked <- n
					return
				}
				n++
				answer := message{Taken: true}
				if m.Session.Token != nil {
					answer = message{Refused: c.why}
				}
				if err := theirs.send(answer); err != nil {
					t.Error(err)
				}
			}
		}()
		session := least
		session.Token = []byte("the hash of it")
		g := &giver{successor: ours, patience: 10 * time.Second}
		conn, client := testkit.Pair(t, "tcp")
		if taken, err := g.give(session, conn); err != nil || taken != c.taken {
			t.Errorf("%s: taken %t, %v", c.why, taken, err)
		}
		ours.conn.Close()
		if n := <-asked; n != c.asked {
			t.Errorf("%s: asked %d times, want %d", c.why, n, c.asked)
		}
		theirs.conn.Close()
		client.Close()
		conn.Close()
	}
}

func testLink(t *testing.T, fd int) link {
	t.Helper()
	f := os.NewFile(uintptr(fd), "link")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	l := newLink(conn.(*net.UnixConn))
	l.limit(10 * time.Second)
	return l
}
