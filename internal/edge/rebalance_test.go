package edge

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"pushgate/internal/proto"
)

func otherEdge(id string, webSockets int) (p proto.Process) {
	p.ID, p.Edge, p.WebSockets = id, true, webSockets
	return p
}

func TestShareOfAnEdge(t *testing.T) {
	for _, c := range []struct {
		name   string
		mine   int
		others []int
		within int // a minute after the patience is over: connections shed
	}{
		{"alone", 1000, nil, 0},
		{"even", 1000, []int{1000, 950}, 0},
		{"a little fuller", 1000, []int{900}, 0},
		{"few", 10, []int{0}, 0},
		{"another is empty", 1000, []int{0}, 20},
		{"many others", 1000, []int{1000, 1000, 0}, 20},
		{"this one is empty", 0, []int{1000}, 0},
		{"less than one a look", 100, []int{0, 0}, 2},
	} {
		// An old report of this edge, and one of a publisher.
		edges := []proto.Process{otherEdge("me", 12345), {}}
		for _, n := range c.others {
			edges = append(edges, otherEdge("other", n))
		}
		var b balance
		for range balancePatience - 1 {
			if n := b.share("me", c.mine, edges, 2); n != 0 {
				t.Errorf("%s: %d shed before it lasted", c.name, n)
			}
		}
		sum := 0
		for range int(time.Minute / balanceLook) {
			sum += b.share("me", c.mine, edges, 2)
		}
		if sum > c.within || sum < c.within-1 {
			t.Errorf("%s: %d shed in a minute, want %d", c.name, sum, c.within)
		}
	}
}

// dialMany makes n connections. The channel returns the close code of each one that ends.
func (w *world) dialMany(n int) <-chan websocket.StatusCode {
	gone := make(chan websocket.StatusCode, n)
	for range n {
		conn := w.dial(w.url("/subws/", signed(alice)))
		go func() {
			_, err := w.read(conn)
			for err == nil {
				_, err = w.read(conn)
			}
			gone <- websocket.CloseStatus(err)
		}()
	}
	return gone
}

// An edge beside an empty one sheds a few connections each minute, with the close code that sends
// no client to the portal, until both have the same number.
func TestEdgeShedsUntilEven(t *testing.T) {
	inWorld(t, func(c *settings) { c.Rebalance = 2; c.Limits.Connections = 0 }, func(t *testing.T, w *world) {
		const sessions = 100
		gone := w.dialMany(sessions)
		start := time.Now()
		left := func() int { return int(w.value("connections", "websocket")) }
		last := sessions
		for time.Since(start) < 50*time.Minute {
			if err := w.log.PutProcess(t.Context(), otherEdge("edge-2", sessions-left())); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
			if time.Since(start)%time.Minute == 0 {
				if left() < last-3 { // 2 a minute, and what was left over
					t.Errorf("%d of %d after %v", left(), last, time.Since(start))
				}
				last = left()
			}
			if time.Since(start) == 50*time.Second && left() != sessions {
				t.Error("shed before it lasted")
			}
		}
		synctest.Wait()
		if n := left(); n < 50 || n > 60 {
			t.Errorf("%d left of %d after 50 minutes, want about a half", n, sessions)
		}
		if n := w.value("session_ends_total", "rebalanced"); int(n) != sessions-left() {
			t.Errorf("%v ends counted", n)
		}
		for range sessions - left() {
			if code := <-gone; code != 3000 {
				t.Errorf("closed with %d", code)
			}
		}
	})
}

func TestBalanceIsOffByDefault(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		for range 30 {
			w.dial(w.url("/subws/", signed(alice)))
		}
		for range 12 {
			if err := w.log.PutProcess(t.Context(), otherEdge("edge-2", 0)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
		}
		if n := w.value("session_ends_total", "rebalanced"); n != 0 {
			t.Errorf("%v shed", n)
		}
	})
}

// TestRebalanceOnRequest: an edge moves at once what it has above the mean of all edges, over the
// window of a drain, with the close code that sends no client to the portal; and nothing more.
func TestRebalanceOnRequest(t *testing.T) {
	inWorld(t, func(c *settings) { c.Limits.Connections = 0; c.Drain = time.Minute }, func(t *testing.T, w *world) {
		const sessions = 100
		gone := w.dialMany(sessions)
		if n, err := w.edge.Rebalance(t.Context()); n != 0 || err != nil {
			t.Errorf("without others, %d move, %v", n, err)
		}
		synctest.Wait()
		if err := w.log.PutProcess(t.Context(), otherEdge("edge-2", 0)); err != nil {
			t.Fatal(err)
		}
		if n, err := w.edge.Rebalance(t.Context()); n != sessions/2 || err != nil {
			t.Errorf("%d move, %v", n, err)
		}
		if _, err := w.edge.Rebalance(t.Context()); err == nil {
			t.Error("it began twice at a time")
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if n := w.value("connections", "websocket"); n < 60 || n > 90 {
			t.Errorf("%v left after half of the time", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := w.value("connections", "websocket"); n != sessions/2 {
			t.Errorf("%v left in the end", n)
		}
		for range sessions / 2 {
			if code := <-gone; code != 3000 {
				t.Errorf("closed with %d", code)
			}
		}
	})
}
