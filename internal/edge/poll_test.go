package edge

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

// headers returns the headers of a response that the protocol specifies.
func headers(h http.Header) map[string]string {
	got := make(map[string]string)
	for name, values := range h {
		if name != "Date" && name != "Content-Length" {
			got[name] = strings.Join(values, "|")
		}
	}
	return got
}

func TestPollIsAnsweredByALiveMessage(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		poll := w.get(w.url("/bitrix/sub/", signed(alice, bob)))
		time.Sleep(39999 * time.Millisecond)
		m := w.publish(`{"a":1}`, alice)
		got := <-poll
		if got.status != 200 || got.body != text(m, alice) {
			t.Errorf("got %d %q", got.status, got.body)
		}
		want := map[string]string{"Content-Type": "text/plain", "Access-Control-Allow-Origin": "*",
			"Access-Control-Expose-Headers": "Last-Message-Id"}
		if diff := testkit.Diff(want, headers(got.header)); diff != "" {
			t.Error(diff)
		}
		if n := w.value("session_ends_total", "poll_answered"); n != 1 {
			t.Errorf("%v polls counted as answered", n)
		}
	})
}

func TestPollEndsWith304AfterItsTime(t *testing.T) {
	const mid = "one that was given"
	for _, c := range []struct{ name, mid, want string }{
		{"without mid", "", "the newest"},
		{"with mid", mid, mid},
		{"with a mid that is none", "abc", "the newest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				c := c // there are several worlds
				older, newest := w.publish(`{}`, bob), w.publish(`{}`, bob)
				if c.want = newest.ID.String(); c.mid == mid {
					c.mid, c.want = older.ID.String(), older.ID.String()
				}
				got := <-w.get(w.url("/bitrix/subws/", signed(alice), "mid", c.mid))
				if got.status != 304 || got.body != "" || got.after != 40*time.Second {
					t.Errorf("got %d %q after %v", got.status, got.body, got.after)
				}
				want := map[string]string{"Content-Type": "text/plain", "Access-Control-Allow-Origin": "*",
					"Access-Control-Expose-Headers": "Last-Message-Id", "Expires": "Thu, 01 Jan 1973 11:11:01 GMT",
					"Last-Message-Id": c.want}
				if diff := testkit.Diff(want, headers(got.header)); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// A log that never had a message has no id, but the answer has the header all the same.
func TestPollOfAnEmptyLog(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		got := <-w.get(w.url("/sub/", signed(alice)))
		if values, ok := got.header["Last-Message-Id"]; !ok || values[0] != "" || got.status != 304 {
			t.Errorf("got %d, Last-Message-Id %v", got.status, values)
		}
	})
}

func TestPollReplaysAfterMid(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		first := w.publish(`{"n":1}`, alice)
		second := w.publish(`{"n":2}`, bob)
		third := w.publish(`{"n":3}`, alice, bob)
		got := <-w.get(w.url("/bitrix/sub/", signed(alice, bob), "mid", first.ID.String()))
		if got.after != 0 || got.body != text(second, bob)+text(third, alice) {
			t.Errorf("got %q after %v", got.body, got.after)
		}
		all := <-w.get(w.url("/bitrix/sub/", signed(alice), "mid", strings.Repeat("0", 26)))
		if all.body != text(first, alice)+text(third, alice) {
			t.Errorf("got %q", all.body)
		}
	})
}

// The id in a 304 is that with which the poll began, so that the next poll finds what comes between
// two polls.
func TestNothingIsLostBetweenTwoPolls(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.publish(`{}`, bob)
		first := <-w.get(w.url("/bitrix/sub/", signed(alice)))
		m := w.publish(`{"between":1}`, alice)
		second := <-w.get(w.url("/bitrix/sub/", signed(alice), "mid", first.header.Get("Last-Message-Id")))
		if second.status != 200 || second.body != text(m, alice) {
			t.Errorf("got %d %q", second.status, second.body)
		}
	})
}

// While the log cannot be read, a poll waits. It is never refused for its ids.
func TestPollWhileTheLogIsAway(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.log.Fail(errors.New("away"))
		mid := "17952262100000000000000009"
		got := <-w.get(w.url("/bitrix/sub/", signed(alice), "mid", mid))
		if got.status != 304 || got.after != 40*time.Second || got.header.Get("Last-Message-Id") != mid {
			t.Errorf("got %d after %v with %v", got.status, got.after, got.header)
		}
	})
}

func TestPollRefusals(t *testing.T) {
	good := signed(alice)
	for _, c := range []struct {
		name, channels string
		grammar        channel.Grammar
		want           string
	}{
		{"none", "", channel.Hex, "4010: Wrong Channel Id."},
		{"unsigned", alice.String(), channel.Hex, "4010: Wrong Channel Id."},
		{"one of two is bad", good + "/" + bob.String() + "." + strings.Repeat("0", 40), channel.Hex, "4010: Wrong Channel Id."},
		{"too many", strings.Repeat(good+"/", maxChannels) + good, channel.Hex, "4010: Wrong Channel Id."},
		{"first generation, none", "", channel.Alphanumeric, "No channel id provided."},
		{"first generation, unsigned", alice.String(), channel.Alphanumeric, "Channel id is not correct."},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(config *settings) { config.Grammar = c.grammar }, func(t *testing.T, w *world) {
				got := <-w.get(w.url("/bitrix/sub/", c.channels))
				if got.status != 400 || got.body != c.want {
					t.Errorf("got %d %q", got.status, got.body)
				}
				want := map[string]string{"Content-Type": "text/plain", "Access-Control-Allow-Origin": "*",
					"Access-Control-Expose-Headers": "Last-Message-Id"}
				if diff := testkit.Diff(want, headers(got.header)); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// nginx adds an Upgrade header that a plain GET did not have.
func TestUpgradeHeaderAloneIsNoUpgrade(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		request, _ := http.NewRequest("GET", w.url("/bitrix/subws/", signed(alice)), nil)
		request.Header.Set("Upgrade", "websocket")
		request.Close = true
		response, err := w.http.Do(request)
		if err != nil || response.StatusCode != 304 {
			t.Errorf("got %v %v, want a poll", response, err)
		}
	})
}

func TestPreflightAndUnknown(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		for _, c := range []struct {
			method, path string
			status       int
			want         map[string]string
		}{
			{"OPTIONS", "/bitrix/sub/", 200, map[string]string{"Content-Type": "text/plain", "Access-Control-Allow-Origin": "*",
				"Access-Control-Allow-Methods": "POST, GET, DELETE, OPTIONS",
				"Access-Control-Allow-Headers": "If-Modified-Since, If-None-Match"}},
			{"POST", "/bitrix/sub/", 404, map[string]string{"Content-Type": "text/plain", "Access-Control-Allow-Origin": "*"}},
			{"HEAD", "/bitrix/sub/", 404, map[string]string{"Content-Type": "text/plain", "Access-Control-Allow-Origin": "*"}},
			{"GET", "/bitrix/pub/", 404, map[string]string{"Content-Type": "text/plain", "Access-Control-Allow-Origin": "*"}},
		} {
			request, _ := http.NewRequest(c.method, "http://push.test"+c.path, nil)
			response, err := w.http.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != c.status {
				t.Errorf("%s %s: %d, want %d", c.method, c.path, response.StatusCode, c.status)
			}
			if diff := testkit.Diff(c.want, headers(response.Header)); diff != "" {
				t.Errorf("%s %s: %s", c.method, c.path, diff)
			}
		}
	})
}

// The portal's self-test speaks HTTP/1.0 and reads only once: head and body must come in one piece.
func TestPollOfHTTP10LeavesInOneWrite(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		conn, err := w.listener.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		path := strings.TrimPrefix(w.url("/bitrix/sub/", signed(alice)), "http://push.test")
		go conn.Write([]byte("GET " + path + " HTTP/1.0\r\nHost: push.test\r\nIf-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"))
		synctest.Wait()
		w.publish("5f4dcc3b5aa765d61d8327deb882cf99", alice)
		buffer := make([]byte, 4096)
		n, err := conn.Read(buffer) // a pipe returns the bytes of one Write, and no more
		got := string(buffer[:n])
		if err != nil || !strings.HasPrefix(got, "HTTP/1.0 200 OK\r\n") || !strings.Contains(got, `"text":5f4dcc3b5aa765d61d8327deb882cf99}`) {
			t.Errorf("one read gave %q, %v", got, err)
		}
	})
}

func TestPollOfAClientThatHangsUp(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		conn, _ := w.listener.dial(t.Context(), "", "")
		path := strings.TrimPrefix(w.url("/sub/", signed(alice)), "http://push.test")
		conn.Write([]byte("GET " + path + " HTTP/1.1\r\nHost: push.test\r\n\r\n"))
		synctest.Wait()
		if n := w.value("connections", "longpoll"); n != 1 {
			t.Errorf("%v polls, want 1", n)
		}
		conn.Close()
		synctest.Wait()
		if n, channels := w.value("connections", "longpoll"), w.edge.channels(); n != 0 || channels != 0 {
			t.Errorf("%v polls and %d channels are left", n, channels)
		}
		if n := w.value("session_ends_total", "client_closed"); n != 1 {
			t.Errorf("%v ends counted", n)
		}
	})
}

func TestTransientReachesAPollThatWaits(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		poll := w.get(w.url("/sub/", signed(alice)))
		m := w.append(&proto.Message{Receivers: []channel.ID{alice}, Body: []byte(`{}`)})
		if got := <-poll; got.body != text(m, alice) {
			t.Errorf("got %q", got.body)
		}
	})
}

// TestPollForEverything: a client that polls from the beginning of the log, and gets no message,
// gets the id of the beginning back. Without an id its next poll would begin at that moment, and it
// would miss what comes between two polls.
func TestPollForEverything(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		zero := strings.Repeat("0", proto.IDLen)
		got := <-w.get(w.url("/sub/", signed(alice), "mid", zero))
		if got.status != http.StatusNotModified || got.header.Get("Last-Message-Id") != zero {
			t.Errorf("%d %q", got.status, got.header.Get("Last-Message-Id"))
		}
	})
}

// A 304 to a web client, which names a revision, has no id: the portal's newer web client stops
// polling when it gets one.
func TestPollThatBroughtAnIDIsNotToldItAgain(t *testing.T) {
	fromClient := proto.Sender{Type: proto.SenderClient}
	for _, c := range []struct {
		name, revision string
		mid, withheld  bool
		want           string
	}{
		{"a web client with an id", "19", true, false, "nothing"},
		{"another client with an id", "", true, false, "its own"},
		{"a web client without an id", "19", false, false, "the newest"},
		{"another client without an id", "", false, false, "the newest"},
		{"a web client that must not have what came", "19", true, true, "the newest"},
		{"another client that must not have what came", "", true, true, "the newest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world) {
				more, older := []string{}, w.publish(`{}`, bob)
				newest := w.publish(`{}`, bob)
				if c.withheld {
					newest = w.append(&proto.Message{Receivers: []channel.ID{alice}, Body: []byte(`{}`), TTL: time.Hour, Sender: fromClient})
				}
				if c.revision != "" {
					more = append(more, "revision", c.revision)
				}
				if c.mid {
					more = append(more, "mid", older.ID.String())
				}
				got := <-w.get(w.url("/bitrix/sub/", signed(alice), more...))
				want := map[string]string{"nothing": "", "its own": older.ID.String(), "the newest": newest.ID.String()}[c.want]
				if last, ok := got.header["Last-Message-Id"]; got.status != 304 || !ok || last[0] != want {
					t.Errorf("got %d, Last-Message-Id %q, want %q", got.status, last, want)
				}
			})
		})
	}
}
