package front

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// holder is the [Holder] of a request in tests.
type holder struct {
	conn  *Conn
	gone  chan struct{}
	leave int
}

func (h *holder) Gone()  { h.gone <- struct{}{} }
func (h *holder) Leave() { h.leave++ }

// holding returns a handler that holds each request, and the holders of all.
func holding() (http.HandlerFunc, chan *holder) {
	holders := make(chan *holder, 10)
	return func(w http.ResponseWriter, r *http.Request) {
		h := &holder{gone: make(chan struct{}, 1)}
		h.conn = Hold(w, h)
		holders <- h
	}, holders
}

func (h *holder) answer(body string) error {
	if wait := h.conn.Answer(200, http.Header{}, []byte(body)); wait != nil {
		return wait()
	}
	return nil
}

func TestHeldRequest(t *testing.T) {
	handler, holders := holding()
	inWorld(t, handler, func(t *testing.T, w *world) {
		conn := w.dial()
		conn.send(request("/a"))
		h := <-holders
		time.Sleep(time.Hour) // only its holder bounds how long it is held
		go h.answer("one")
		if status, body, closes := conn.answer(); status != 200 || body != "one" || closes {
			t.Errorf("%d %q, closes %t", status, body, closes)
		}
		conn.send(request("/b") + request("/c")) // what is sent ahead waits
		h = <-holders
		synctest.Wait()
		if len(holders) != 0 {
			t.Error("two requests at a time")
		}
		go h.answer("two")
		_, two, _ := conn.answer()
		go (<-holders).answer("three")
		if _, three, _ := conn.answer(); two != "two" || three != "three" {
			t.Errorf("%q, %q", two, three)
		}
	})
}

// A request that is sent while the one before it is held is served after it.
func TestSentWhileHeld(t *testing.T) {
	handler, holders := holding()
	inWorld(t, handler, func(t *testing.T, w *world) {
		conn := w.dial()
		conn.send(request("/a"))
		first := <-holders
		conn.send(request("/b"))
		go first.answer("one")
		conn.answer()
		go (<-holders).answer("two")
		if _, body, _ := conn.answer(); body != "two" {
			t.Errorf("%q", body)
		}
	})
}

func TestAnswerWithinTheHandler(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		h := &holder{}
		h.conn = Hold(wrapped{w}, h)
		if Hold(w, h) != nil {
			panic("held twice")
		}
		if err := h.answer(r.URL.Path); err != nil {
			panic(err)
		}
	}
	inWorld(t, handler, func(t *testing.T, w *world) {
		conn := w.dial()
		conn.send(request("/a") + request("/b"))
		for _, want := range []string{"/a", "/b"} {
			if _, body, _ := conn.answer(); body != want {
				t.Errorf("%q, want %q", body, want)
			}
		}
	})
}

func TestHangUpWhileHeld(t *testing.T) {
	handler, holders := holding()
	inWorld(t, handler, func(t *testing.T, w *world) {
		conn := w.dial()
		conn.send(request("/a"))
		h := <-holders
		conn.Close()
		<-h.gone
		if err := h.answer("late"); err != net.ErrClosed {
			t.Errorf("answered: %v", err)
		}
	})
}

func TestLeaveWhileHeld(t *testing.T) {
	handler, holders := holding()
	inWorld(t, handler, func(t *testing.T, w *world) {
		conn := w.dial()
		conn.send(request("/a"))
		h := <-holders
		for _, m := range w.heartbeats.Members() {
			m.Leave()
		}
		if h.leave != 1 {
			t.Errorf("Leave was called %d times", h.leave)
		}
		go h.answer("bye")
		if _, body, closes := conn.answer(); body != "bye" || !closes {
			t.Errorf("%q, closes %t", body, closes)
		}
		conn.ended()
	})
}

// A client that does not read its answer holds a connection for no longer than WriteTimeout.
func TestAnswerThatNobodyReads(t *testing.T) {
	handler, holders := holding()
	inWorld(t, handler, func(t *testing.T, w *world) {
		conn := w.dial()
		conn.send(request("/a"))
		h := <-holders
		start := time.Now()
		if err := h.answer("x"); err == nil || time.Since(start) != WriteTimeout {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		conn.Close()
	})
}

// A server that ends does not wait for a client that does not read its answer, whether the cut
// comes before or after the beginning of the write.
func TestCutOfAnAnswerThatNobodyReads(t *testing.T) {
	for _, before := range []time.Duration{0, time.Second} {
		handler, holders := holding()
		inWorld(t, handler, func(t *testing.T, w *world) {
			conn := w.dial()
			conn.send(request("/a"))
			h := <-holders
			all := w.heartbeats.Members()
			start := time.Now()
			time.AfterFunc(before, func() {
				for _, m := range all {
					m.(*Conn).Cut()
				}
			})
			if before == 0 {
				synctest.Wait()
			}
			if err := h.answer("x"); err == nil || time.Since(start) != before {
				t.Errorf("%v after %v", err, time.Since(start))
			}
			conn.Close()
		})
	}
}

func TestHoldElsewhere(t *testing.T) {
	if Hold(httptest.NewRecorder(), nil) != nil {
		t.Error("held a request that is not ours")
	}
}

// A held request is answered even after a panic: without an answer, a proxy would consider this
// server broken.
func TestAbandonWhileHeld(t *testing.T) {
	handler, holders := holding()
	inWorld(t, handler, func(t *testing.T, w *world) {
		conn := w.dial()
		conn.send(request("/a"))
		h := <-holders
		h.conn.Abandon()
		if status, _, closes := conn.answer(); status != http.StatusInternalServerError || !closes {
			t.Errorf("%d, closes %t", status, closes)
		}
	})
}
