package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"pushgate/internal/history"
	"pushgate/internal/proto"
	"pushgate/internal/store"

	"pushgate/internal/testkit/storetest"
)

// samplesOf returns the samples of one process.
func samplesOf(t testing.TB, s *store.Store, day bool, process string) (samples []proto.Sample) {
	t.Helper()
	if err := s.Samples(t.Context(), day, []string{process}, func(_ string, all []proto.Sample) { samples = all }); err != nil {
		t.Fatal(err)
	}
	return samples
}

// TestSamplesAreBounded: as the documented user of Redis, a process keeps samples of an hour and of
// a day and no more, and all of it expires; what an earlier process of the same name kept stays.
func TestSamplesAreBounded(t *testing.T) {
	server := storetest.StartRedis(t)
	allow(t, server)
	s := store.New(open(t, userURL("redis", server.Addr(), "")), store.Config{})
	put := func(process, text string) (known bool) {
		t.Helper()
		now, known, err := s.PutSample(t.Context(), process, "abcdef01", []byte(text))
		if err != nil || time.Since(now).Abs() > 10*time.Second {
			t.Fatal(now, err)
		}
		return known
	}
	if put("one", "first") {
		t.Error("a schema that nobody has put is known")
	}
	if err := s.PutSchema(t.Context(), "abcdef01", "c x"); err != nil {
		t.Fatal(err)
	}
	if schema, err := s.Schema(t.Context(), "abcdef01"); schema != "c x" || err != nil || !put("one", "second\x00\xff") {
		t.Errorf("schema %q, %v", schema, err)
	}
	if schema, err := s.Schema(t.Context(), "00000000"); schema != "" || err != nil {
		t.Errorf("no schema: %q, %v", schema, err)
	}
	texts := func(samples []proto.Sample) (texts []string) {
		for _, sample := range samples {
			texts = append(texts, sample.Text)
		}
		return texts
	}
	if got := texts(samplesOf(t, s, false, "one")); !slices.Equal(got, []string{"first", "second\x00\xff"}) {
		t.Errorf("an hour: %q", got)
	}
	// And the newest of the hour.
	if got := texts(samplesOf(t, s, true, "one")); !slices.Equal(got, []string{"first", "second\x00\xff"}) {
		t.Errorf("a day: %q", got)
	}
	for i := range 400 {
		put("one", fmt.Sprint(i))
	}
	if got := texts(samplesOf(t, s, false, "one")); len(got) != 361 || got[360] != "399" {
		t.Errorf("%d samples of an hour, the last is %s", len(got), got[len(got)-1])
	}
	// Five minutes ago, as often as a day has them.
	server.Must("DEL", "pg:fleet:{fleet}:samples:day:one")
	words := []string{"RPUSH", "pg:fleet:{fleet}:samples:day:one"}
	for range 300 {
		words = append(words, fmt.Sprintf("%013dold", time.Now().Add(-5*time.Minute).UnixMilli()))
	}
	server.Must(words...)
	put("one", "new")
	if got := texts(samplesOf(t, s, true, "one")); len(got) != 291 || got[289] != "new" {
		t.Errorf("%d samples of a day, the last is %s", len(got), got[len(got)-1])
	}
	for _, key := range []string{"sampled", "schema:abcdef01", "samples:hour:one", "samples:day:one"} {
		// Of ":" and an hour or more in ms.
		if ttl := server.Must("PTTL", "pg:fleet:{fleet}:"+key); len(ttl) < 7 {
			t.Errorf("%s expires in %s ms", key, ttl)
		}
	}
}

// TestFewProcessesAreRemembered: processes that start again and again under new names fill nothing.
func TestFewProcessesAreRemembered(t *testing.T) {
	server := storetest.StartRedis(t)
	s := store.New(open(t, server.URL()), store.Config{})
	words := []string{"HSET", "pg:fleet:{fleet}:sampled", "long-ago", fmt.Sprint(time.Now().Add(-25 * time.Hour).UnixMilli()),
		"two-hours-ago", fmt.Sprint(time.Now().Add(-2 * time.Hour).UnixMilli())}
	for i := range 499 {
		words = append(words, fmt.Sprint("process-", i), fmt.Sprint(time.Now().Add(-time.Minute).UnixMilli()))
	}
	server.Must(words...)
	server.Must("RPUSH", "pg:fleet:{fleet}:samples:day:two-hours-ago", "x")
	if _, _, err := s.PutSample(t.Context(), "new", "abcdef01", []byte("x")); err != nil {
		t.Fatal(err)
	}
	processes, _, err := s.Sampled(t.Context(), true)
	if err != nil || len(processes) != 500 || !slices.Contains(processes, "new") || slices.Contains(processes, "two-hours-ago") || slices.Contains(processes, "long-ago") {
		t.Errorf("%d processes, %v", len(processes), err)
	}
	if n := server.Must("EXISTS", "pg:fleet:{fleet}:samples:day:two-hours-ago"); n != ":0" {
		t.Error("the samples of a forgotten process are kept")
	}
	server.Must("HSET", "pg:fleet:{fleet}:sampled", "process-1", fmt.Sprint(time.Now().Add(-2*time.Hour).UnixMilli()))
	if processes, _, err := s.Sampled(t.Context(), false); err != nil || len(processes) != 499 {
		t.Errorf("%d processes in the last hour, %v", len(processes), err)
	}
}

// TestHistoryInACluster: samples are written and read whatever node they are on.
func TestHistoryInACluster(t *testing.T) {
	s := store.New(open(t, storetest.StartCluster(t, 3).URL()), store.Config{})
	for i := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // it takes two samples
		history.NewRecorder(history.NewFigures(), detached{s}, fmt.Sprint("process-", i), slog.New(slog.DiscardHandler), nil).Run(ctx)
	}
	if processes, _, err := s.Sampled(t.Context(), false); err != nil || len(processes) != 20 {
		t.Fatal(processes, err)
	}
	if _, err := history.Read(t.Context(), s, history.Hour, ""); err != nil {
		t.Error(err)
	}
	if got := samplesOf(t, s, false, "process-19"); len(got) != 2 || !strings.HasPrefix(got[0].Text, got[1].Text[:8]) {
		t.Errorf("%v", got)
	}
}

// detached is a log whose writes do not end with their context.
type detached struct{ *store.Store }

func (d detached) PutSample(ctx context.Context, process, schema string, sample []byte) (time.Time, bool, error) {
	return d.Store.PutSample(context.WithoutCancel(ctx), process, schema, sample)
}

func (d detached) PutSchema(ctx context.Context, name, schema string) error {
	return d.Store.PutSchema(context.WithoutCancel(ctx), name, schema)
}

var _ history.Log = (*store.Store)(nil)
