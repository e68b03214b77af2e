package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pushgate/internal/testkit"
)

// TestDialects: what the clients of the tests decode, and what they refuse.
func TestDialects(t *testing.T) {
	one, two := Record{MID: mid(1), Channel: "c", Body: `{"n":1}`}, Record{MID: mid(2), Channel: "c", Body: `{"n":2,"extra":{"e":1}}`}
	first := fmt.Sprintf(`{"id":1,"mid":%q,"channel":"c","tag":"1","time":"now","text":{"n":1},"extra":{}}`, mid(1))
	second := fmt.Sprintf(`{"id":2,"mid":%q,"channel":"c","tag":"1","time":"now","text":{"n":2,"extra":{"e":1}},"extra":{"e":1}}`, mid(2))
	call := func(n int, params string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","method":"incoming.message","params":{"mid":%q,"body":{"n":%d},"sender":{"type":2}%s}}`, mid(n), n, params)
	}
	bare := func(r Record) Record { r.Channel = ""; return r }
	for _, c := range []struct {
		name    string
		dialect Dialect
		payload string
		want    []Record // nil: it is an error
	}{
		{"one record", JSON{}, "[" + first + "]", []Record{one}},
		{"two records", JSON{}, "[" + first + "," + second + "]", []Record{one, two}},
		{"no records", JSON{}, "[]", nil},
		{"no array", JSON{}, first, nil},
		{"no JSON", JSON{}, "ping", nil},
		{"another extra", JSON{}, "[" + strings.Replace(first, `"extra":{}`, `"extra":{"a":1}`, 1) + "]", nil},
		{"an unknown member", JSON{}, "[" + strings.Replace(first, `"tag"`, `"tog"`, 1) + "]", nil},
		{"one request", RPC{}, call(1, ""), []Record{bare(one)}},
		{"two requests", RPC{}, "[" + call(1, "") + "," + call(2, `,"user_params":{"a":1}`) + "]", []Record{bare(one), {MID: mid(2), Body: `{"n":2}`}}},
		{"no requests", RPC{}, "[]", nil},
		{"a request with an id", RPC{}, strings.Replace(call(1, ""), "{", `{"id":1,`, 1), nil},
		{"another method", RPC{}, strings.Replace(call(1, ""), "incoming", "outgoing", 1), nil},
		{"no sender", RPC{}, strings.Replace(call(1, ""), `,"sender":{"type":2}`, "", 1), nil},
		{"a reply", RPC{}, `{"jsonrpc":"2.0","result":{},"id":1}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.dialect.Records([]byte(c.payload))
			if diff := testkit.Diff(c.want, got); diff != "" || (err != nil) != (c.want == nil) {
				t.Errorf("%v: %s", err, diff)
			}
		})
	}
}

// TestEvents: a client of streams goes on from the last id that it received, even if that had no
// event. An incomplete event is ignored.
func TestEvents(t *testing.T) {
	record := func(n int) string {
		return fmt.Sprintf("id: %s\ndata: {\"id\":%d,\"mid\":%q,\"channel\":\"c\",\"tag\":\"1\",\"time\":\"now\",\"text\":{},\"extra\":{}}\n\n", mid(n), n, mid(n))
	}
	head := func(n int) string { return fmt.Sprintf("retry: 1000\nid: %s\n\n", mid(n)) }
	type visit struct {
		answer string
		cut    bool   // the connection breaks after it
		asked  string // Last-Event-ID of the visit
		last   string // what the client has after it
		faults int    // after it
	}
	for _, c := range []struct {
		name   string
		visits []visit
	}{
		{"from an id without an event", []visit{{head(3), true, "", mid(3), 0}, {head(3) + record(4) + ":\n\n", false, mid(3), mid(4), 0}, {head(4), false, mid(4), mid(4), 0}}},
		{"an event breaks off", []visit{{head(3) + strings.TrimSuffix(record(4), "\n"), true, "", mid(3), 0}, {head(3) + record(4), false, mid(3), mid(4), 0}}},
		{"a stream that begins elsewhere", []visit{{head(3), false, "", mid(3), 0}, {head(2), false, mid(3), mid(2), 1}}},
		{"a stream without a head", []visit{{record(3), false, "", mid(3), 1}}},
		{"an event that is there already", []visit{{head(3) + record(3), false, "", mid(3), 1}}},
		{"an event under another id", []visit{{head(3) + strings.Replace(record(4), mid(4), mid(5), 1), false, "", mid(4), 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var now visit
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Last-Event-ID"); got != now.asked || r.URL.Query().Has("mid") {
					t.Errorf("Last-Event-ID %q, want %q; query %q", got, now.asked, r.URL.RawQuery)
				}
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, now.answer)
				if now.cut {
					_ = http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				}
			}))
			defer server.Close()
			client := &Client{Name: "reader", Address: strings.TrimPrefix(server.URL, "http://"), List: "l", Dialect: JSON{}, Stream: true, HTTP: server.Client()}
			for i, v := range c.visits {
				now = v
				err := client.Events(context.Background())
				if v.cut != (err != nil) || v.cut && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("visit %d: %v", i, err)
				}
				if faults, _ := client.Faults(); client.Last() != v.last || len(faults) != v.faults {
					t.Errorf("visit %d: last %q, want %q; faults %q", i, client.Last(), v.last, faults)
				}
			}
		})
	}
}
