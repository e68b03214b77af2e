package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// revokedUser is a user of a portal with one tab.
type revokedUser struct {
	id      int64
	revoked time.Time // when the portal had its answer; zero if it stays

	newest atomic.Int64 // unix nanoseconds at which the newest message that came was posted
	code   atomic.Int64 // of the close frame
}

// read reads until the connection ends.
func (u *revokedUser) read(ctx context.Context, conn *websocket.Conn) {
	defer conn.CloseNow()
	for {
		_, frame, err := conn.Read(ctx)
		if err != nil {
			u.code.Store(int64(websocket.CloseStatus(err)))
			return
		}
		// A frame may have several messages.
		for part := range strings.SplitSeq(string(frame), `"posted":`) {
			var at int64
			if n, _ := fmt.Sscan(part, &at); n == 1 {
				u.newest.Store(max(u.newest.Load(), at))
			}
		}
	}
}

// TestRevocationDuringFailover: users are put out one after the other while messages go to all of
// them; the master of Redis dies meanwhile, and two of three edges learn of both later. Nobody gets
// what is posted after the portal had the answer that he is out, each gets 4010, and who stays gets
// everything.
func TestRevocationDuringFailover(t *testing.T) {
	t.Parallel()
	const users, out = 60, 40
	w := Start(t, Options{Bin: bin, Edges: 3, Publishers: 2, Redis: Sentinels})
	portal := w.Portals[0]
	ctx, end := context.WithCancel(t.Context())
	all := make([]*revokedUser, users)
	ids := make([]string, users)
	var reading, posting sync.WaitGroup
	defer reading.Wait()
	defer end()
	dial := func(u *revokedUser, edge *Process) (*websocket.Conn, error) {
		query := url.Values{"jsonRpc": {"true"}, "token": {portal.Token(u.id)}}.Encode()
		conn, _, err := websocket.Dial(ctx, "http://"+edge.Addr+"/bitrix/subws/?"+query, nil)
		return conn, err
	}
	for i := range all {
		all[i] = &revokedUser{id: int64(i + 1)}
		ids[i] = fmt.Sprint(i + 1)
		conn, err := dial(all[i], w.Edges[i%3])
		if err != nil {
			t.Fatal(err)
		}
		reading.Go(func() { all[i].read(ctx, conn) })
	}

	var accepted, last atomic.Int64
	stop := make(chan struct{})
	posting.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			now := time.Now().UnixNano()
			call := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"publish","params":{"userList":[%s],"body":{"module_id":"im","command":"x","params":{"posted":%d}}}}`, strings.Join(ids, ","), now)
			if text, err := portal.Call(ctx, []byte(call)); err == nil && strings.Contains(text, `"result"`) {
				accepted.Add(1)
				last.Store(now)
			}
		}
	})
	tried := 0
	revoke := func(u *revokedUser) {
		for ctx.Err() == nil {
			tried++
			text, err := portal.Call(ctx, fmt.Appendf(nil, `{"jsonrpc":"2.0","id":1,"method":"revokeAccess","params":{"userId":%d}}`, u.id))
			var reply struct{ Result struct{ Until int64 } }
			if err == nil && json.Unmarshal([]byte(text), &reply) == nil && reply.Result.Until > 0 {
				u.revoked = time.Now()
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	d := &drill{World: w, ctx: ctx}
	var failing sync.WaitGroup
	defer failing.Wait()
	began := time.Now()
	failover := make(chan error, 1)
	signal := func(s syscall.Signal) {
		t.Helper()
		for _, edge := range w.Edges[:2] {
			if err := edge.Signal(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, u := range all[:out] {
		if i == out/4 { // two edges stand still, so that they miss what follows
			signal(syscall.SIGSTOP)
			failing.Go(func() { failover <- d.loseMaster(0) })
		}
		if i == out*3/4 { // these are certainly after it
			if err := <-failover; err != nil {
				t.Fatal(err)
			}
			signal(syscall.SIGCONT)
		}
		revoke(u)
		time.Sleep(30 * time.Millisecond)
	}
	took := time.Since(began)
	time.Sleep(time.Second)
	close(stop)
	posting.Wait()
	settled := func() bool {
		for i, u := range all {
			if i < out && u.code.Load() == 0 || i >= out && u.newest.Load() != last.Load() {
				return false
			}
		}
		return true
	}
	for deadline := time.Now().Add(readyWithin); !settled() && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("%d users put out in %d tries and %v, during which the master was lost; %d posts accepted", out, tried, took.Round(time.Millisecond), accepted.Load())
	for i, u := range all {
		late := u.newest.Load() - u.revoked.UnixNano()
		switch {
		case i < out && late > 0:
			t.Errorf("user %d got a message that was posted %v after he was put out", u.id, time.Duration(late))
		case i < out && u.code.Load() != 4010:
			t.Errorf("user %d was put out, and has code %d", u.id, u.code.Load())
		case i >= out && (u.code.Load() != 0 || u.newest.Load() != last.Load()):
			t.Errorf("user %d stays, and has code %d and not the last message", u.id, u.code.Load())
		}
	}
	// A client that comes back is refused by every edge.
	for i, edge := range w.Edges {
		conn, err := dial(all[i], edge)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != 4010 {
			t.Errorf("%s: %v for who comes back", edge.Name, err)
		}
	}
}
