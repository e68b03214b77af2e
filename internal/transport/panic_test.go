package transport

import (
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/wire"
)

// heldRequest is a request that is never answered.
type heldRequest struct{ abandoned int }

func (h *heldRequest) Answer(int, http.Header, []byte) func() error { panic("fault") }
func (h *heldRequest) Abandon()                                     { h.abandoned++ }

// TestPanicInATurn: a panic anywhere in a delivery ends its connection, by every transport, and
// leaves nothing of it.
func TestPanicInATurn(t *testing.T) {
	for name, serve := range map[string]func(s *Shared, o *owner, r *wire.Reader, attach attacher) (closed func()){
		"websocket": func(s *Shared, o *owner, r *wire.Reader, attach attacher) func() {
			server, client := net.Pipe()
			NewWebSocket(s, server, o, r, Resumed{}, attach).Start()
			return func() { io.ReadAll(client) }
		},
		"stream": func(s *Shared, o *owner, r *wire.Reader, attach attacher) func() {
			server, client := net.Pipe()
			NewStream(s, server, o, r, nil, true, true, attach).Start()
			return func() { io.ReadAll(client) }
		},
		"poll": func(s *Shared, o *owner, r *wire.Reader, attach attacher) func() {
			held := new(heldRequest)
			NewPoll(s, o, PollRequest{Reader: r, Timeout: time.Hour}, attach).Start(held)
			return func() {
				synctest.Wait()
				if held.abandoned != 1 {
					t.Errorf("abandoned %d times", held.abandoned)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var running sync.WaitGroup
				var where []string
				h, shared := newWorld(running.Go)
				shared.Panics = func(at string, _ any, _ []byte) { where = append(where, at) }
				reader := &wire.Reader{Codec: wire.Text, Channels: []channel.ID{alice}}
				o := new(owner)
				closed := serve(shared, o, reader, attach(h, reader))
				go func() {
					time.Sleep(time.Second)
					o.fault = true
					h.Dispatch(message(1, "{}"))
				}()
				time.Sleep(2 * time.Second)
				closed()
				synctest.Wait()
				if !slices.Equal(where, []string{"deliver"}) || o.ended != 1 {
					t.Errorf("recovered at %q, ended %d times", where, o.ended)
				}
				if open, all := shared.Conns.Open(), len(shared.Heartbeats.Members()); open != 0 || all != 0 || h.Channels() != 0 {
					t.Errorf("%d connections, %d members and %d channels are left", open, all, h.Channels())
				}
				if !idle(shared.Queue) {
					t.Error("the queue is not idle")
				}
				shared.Conns.Close()
				running.Wait()
			})
		})
	}
}

// idle reports whether no connection waits or is served.
func idle(q *Queue) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.workers == 0 && len(q.waiting) == 0
}
