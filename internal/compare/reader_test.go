package compare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
)

const secretID = "00112233445566778899aabbccddeeff.1234567890123456789012345678901234567890"

// read runs a reader against a server until it has so many records, or fails, and returns their
// bodies and its error.
func read(t *testing.T, server *httptest.Server, poll bool, want int) (bodies []string, err error) {
	t.Helper()
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	base.User = url.UserPassword("me", "secret")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := &reader{base: base, id: secretID, clientID: "portal", poll: poll, http: server.Client(), connected: func(bool) {},
		note: func(err error) { t.Error(err) },
		take: func(records []record) {
			for _, r := range records {
				bodies = append(bodies, string(r.body))
			}
			if len(bodies) >= want {
				cancel()
			}
		}}
	err = r.run(ctx)
	return bodies, err
}

// TestPollsWhereThereIsNoWebSocket: a server that refuses the handshake is polled. Each poll names
// the last id, whether it came with a message or with a 304.
func TestPollsWhereThereIsNoWebSocket(t *testing.T) {
	var asked atomic.Int64
	mids := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		q := r.URL.Query()
		if user, password, _ := r.BasicAuth(); user != "me" || password != "secret" || q.Get("CHANNEL_ID") != secretID || q.Get("clientId") != "portal" {
			t.Errorf("asked %v as %s", r.URL, user)
		}
		mids <- q.Get("mid")
		switch asked.Add(1) {
		case 1:
			w.Header().Set("Last-Message-Id", "7")
			w.WriteHeader(http.StatusNotModified)
		case 2:
			_, _ = w.Write(frame(8, `"a"`, `"b"`))
		case 3:
			w.WriteHeader(http.StatusNotModified)
		default:
			_, _ = w.Write(frame(10, `"c"`))
		}
	}))
	defer server.Close()
	bodies, err := read(t, server, false, 3)
	if fmt.Sprint(bodies) != `["a" "b" "c"]` || err != nil {
		t.Errorf("%q, %v", bodies, err)
	}
	ninth := fmt.Sprintf("%026d", 9)
	for i, want := range []string{"", "7", ninth, ninth} {
		if got := <-mids; got != want {
			t.Errorf("poll %d names %q, want %q", i, got, want)
		}
	}
}

// TestReaderComesBack: a connection that breaks is made again, with the last id.
func TestReaderComesBack(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(asked.Add(1))
		if want := []string{"", fmt.Sprintf("%026d", 1)}[n-1]; r.URL.Query().Get("mid") != want {
			t.Errorf("connection %d names %q", n, r.URL.Query().Get("mid"))
		}
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.CloseNow()
		if err := conn.Write(r.Context(), websocket.MessageText, frame(n, fmt.Sprint(n))); err != nil {
			t.Error(err)
		}
		if n == 2 {
			_, _, _ = conn.Read(r.Context())
		}
	}))
	defer server.Close()
	if bodies, err := read(t, server, false, 2); fmt.Sprint(bodies) != "[1 2]" || err != nil {
		t.Errorf("%q, %v", bodies, err)
	}
}

// TestWrongIDEnds: a server that does not accept the id is not asked again.
func TestWrongIDEnds(t *testing.T) {
	for _, poll := range []bool{false, true} {
		var asked atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) > 1 {
				t.Error("asked again")
			}
			if poll {
				http.Error(w, "4010: Wrong Channel Id.", http.StatusBadRequest)
				return
			}
			conn, err := websocket.Accept(w, r, nil)
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Close(4010, "4010: Wrong Channel Id.")
		}))
		if _, err := read(t, server, poll, 1); !errors.Is(err, errRefused) {
			t.Errorf("poll %v: %v", poll, err)
		}
		server.Close()
	}
}

// TestErrorsShowNoAddress: an error of the connection is shown without the address, which holds the
// id and its signature.
func TestErrorsShowNoAddress(t *testing.T) {
	for _, poll := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		var got error
		r := &reader{base: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, id: secretID, poll: poll, http: &http.Client{}, connected: func(bool) {},
			take: func([]record) {}, note: func(err error) { got = err; cancel() }}
		if err := r.run(ctx); err != nil {
			t.Error(err)
		}
		if got == nil || strings.Contains(got.Error(), secretID[:8]) || !strings.Contains(got.Error(), "refused") {
			t.Error(got)
		}
	}
}

// TestIDs: lists are taken apart, each id once, escaped or not; what cannot be a list is refused
// without being shown.
func TestIDs(t *testing.T) {
	lists, err := ReadIDs(strings.NewReader("# comment\n\n a:b.s/c.s \r\na%3Ab.s%2Fd.s\n"))
	if got := fmt.Sprint(split(lists)); got != "[a:b.s c.s d.s]" || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := ReadIDs(strings.NewReader("a\nCHANNEL_ID=secret\n")); err == nil || !strings.Contains(err.Error(), "line 2") || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	if _, err := ReadIDs(strings.NewReader(strings.Repeat("a\n", MaxIDs+1))); err == nil {
		t.Error("any number")
	}
	many := make([]string, MaxIDs+1)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for _, ids := range [][]string{nil, many, {strings.Join(many, "/")}} {
		if _, err := Run(t.Context(), Options{A: &url.URL{}, B: &url.URL{}, IDs: ids, Out: io.Discard}); err == nil || errors.Is(err, ErrNothing) {
			t.Errorf("%d lists: %v", len(ids), err)
		}
	}
}
