//go:build !race

// The race detector makes pools forget at random, so that budgets cannot be held under it.

package publisher

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/portal"
	"pushgate/internal/proto"

	"github.com/prometheus/client_golang/prometheus"
)

// quietLog accepts everything and keeps nothing.
type quietLog struct {
	fake
	receipts []proto.Receipt
}

func (q *quietLog) Append(context.Context, ...*proto.Message) ([]proto.Receipt, error) {
	return q.receipts, nil
}
func (*quietLog) Online(context.Context, []channel.ID) ([]int, error) { return nil, nil }

// quietWriter discards an answer.
type quietWriter struct{ header http.Header }

func (w quietWriter) Header() http.Header       { return w.header }
func (quietWriter) Write(b []byte) (int, error) { return len(b), nil }
func (quietWriter) WriteHeader(int)             {}

// SetReadDeadline is called by [http.ResponseController].
func (quietWriter) SetReadDeadline(time.Time) error { return nil }

// posting returns a function that posts the same body of 300 bytes to a number of channels.
func posting(tb testing.TB, channels int) func() {
	tb.Helper()
	c := config(tb)
	table, err := portal.NewTable(&c.Portal)
	if err != nil {
		tb.Fatal(err)
	}
	log := &quietLog{receipts: []proto.Receipt{{ID: proto.ID{Sequence: 1}}}}
	p := New(c.Config, table, func(string) Log { return log }, &fake{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	var list strings.Builder
	for i := range channels {
		list.WriteString("/" + idA[:29] + strconv.Itoa(100+i))
	}
	text := []byte(`{"module_id":"im","command":"message","params":{"text":"` + strings.Repeat("x", 240) + `"}}`)
	r := request("POST", "/bitrix/pub/?CHANNEL_ID="+list.String()[1:], "")
	r.Header.Set("Message-Expiry", "86400")
	r.ContentLength = int64(len(text))
	body := bytes.NewReader(text)
	r.Body = io.NopCloser(body)
	w := quietWriter{make(http.Header)}
	handler := p.Handler()
	return func() {
		body.Reset(text)
		clear(w.header)
		handler.ServeHTTP(w, r)
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, channels := range []int{1, 5, 100} {
		b.Run(strconv.Itoa(channels), func(b *testing.B) {
			post := posting(b, channels)
			b.ReportAllocs()
			for b.Loop() {
				post()
			}
		})
	}
}

// maxAllocs is what one post may allocate beside the log and net/http: 4 of chi, 4 of the context
// with its deadline, 3 to find the type; the body, the list, its ids, the message and its slice.
const maxAllocs = 16

func TestPublishAllocations(t *testing.T) {
	if n := testing.AllocsPerRun(100, posting(t, 1)); n > maxAllocs {
		t.Errorf("%v allocations in a post, more than %d", n, maxAllocs)
	}
}
