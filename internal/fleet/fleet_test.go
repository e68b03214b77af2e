package fleet_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"pushgate/internal/fleet"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/faulty"
	"pushgate/internal/testkit/storetest"
)

func TestMain(m *testing.M) {
	logging.Disable() // the tests break connections on purpose
	testkit.Main(m)
}

// bus returns a store that has a client of its own, as each process has.
func bus(t testing.TB, url string) *store.Store {
	t.Helper()
	rdb, err := store.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rdb.Close() })
	return store.New(rdb, store.Config{Timeout: 10 * time.Second, Ping: 100 * time.Millisecond, Silence: 20 * time.Second})
}

// member is a process of the tests, which answers "echo" with the question, "fail" with an error
// and "hang" not at all.
type member struct {
	*fleet.Fleet
	stop func()
	log  *testkit.Buffer
}

// join runs a process until the test ends, or stop is called.
func join(t testing.TB, b fleet.Bus, id string, more ...func(*fleet.Fleet)) member {
	t.Helper()
	m := member{log: new(testkit.Buffer)}
	m.Fleet = fleet.New(b, id, slog.New(slog.NewTextHandler(m.log, nil)))
	m.Handle("echo", func(_ context.Context, q fleet.Question) (any, error) { return []any{id, q.Caller, q.Body}, nil })
	m.Handle("fail", func(context.Context, fleet.Question) (any, error) { return nil, errors.New("the disk is full") })
	m.Handle("hang", func(ctx context.Context, _ fleet.Question) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	for _, f := range more {
		f(m.Fleet)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { m.Run(ctx) })
	m.stop = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(m.stop)
	return m
}

// await waits until all processes answer one of them, and no other has a lease.
func await(t testing.TB, asker member, ids ...string) {
	t.Helper()
	testkit.Eventually(t, "answers of "+strings.Join(ids, ", "), func() bool {
		got, err := asker.Ask(t.Context(), "echo", "", nil)
		return err == nil && slices.Equal(who(got), ids) && len(got.Silent) == 0
	})
}

func who(answers fleet.Answers) (ids []string) {
	for _, a := range answers.Answers {
		ids = append(ids, a.Process)
	}
	return ids
}

// said returns the beginning of answers, which may be long.
func said(answers fleet.Answers) string {
	text, _ := json.Marshal(answers)
	return string(text[:min(len(text), 300)])
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// TestEveryShapeOfRedis: all processes answer a question, or those that it names, and nothing of it
// stays in Redis.
func TestEveryShapeOfRedis(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) string{
		"single":   func(t *testing.T) string { return storetest.StartRedis(t).URL() },
		"sentinel": func(t *testing.T) string { return storetest.StartSentinel(t).URL() },
		"cluster":  func(t *testing.T) string { return storetest.StartCluster(t, 3).URL() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := start(t)
			one := join(t, bus(t, url), "one")
			two := join(t, bus(t, url), "two")
			join(t, bus(t, url), "three")
			await(t, one, "one", "three", "two")
			await(t, two, "one", "three", "two")
			got, err := one.Ask(t.Context(), "echo", "ivan", map[string]int{"n": 1}, "two", "one")
			want := fleet.Answers{Answers: []fleet.Answer{
				{Process: "one", Body: json.RawMessage(`["one","ivan",{"n":1}]`)},
				{Process: "two", Body: json.RawMessage(`["two","ivan",{"n":1}]`)},
			}}
			if diff := testkit.Diff(want, got); diff != "" || err != nil {
				t.Error(diff, err)
			}
			// A program from a shell asks, and is none of them.
			shell := fleet.New(bus(t, url), "", slog.New(slog.DiscardHandler))
			if got, err := shell.Ask(t.Context(), "fail", "", nil); err != nil || !slices.Equal(who(got), []string{"one", "three", "two"}) ||
				got.Answers[0].Err != "the disk is full" {
				t.Error(said(got), err)
			}
			two.stop()
			if got, err := one.Ask(t.Context(), "echo", "", nil); err != nil || !slices.Equal(who(got), []string{"one", "three"}) || len(got.Silent) > 0 {
				t.Error("when one has left:", said(got), err)
			}
		})
	}
}

// TestSilentProcesses: whoever does not answer in time is named, and the others' answers are there.
func TestSilentProcesses(t *testing.T) {
	url := storetest.StartRedis(t).URL()
	one, b := join(t, bus(t, url), "one"), bus(t, url)
	join(t, b, "two")
	await(t, one, "one", "two")
	// The other one's handler ends before the time is over.
	// A busy machine needs a part of it.
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	got, err := one.Ask(ctx, "hang", "", nil)
	if err != nil || !slices.Equal(got.Silent, []string{"one"}) || !slices.Equal(who(got), []string{"two"}) || got.Answers[0].Err == "" {
		t.Errorf("a hanging handler: %s, %v", said(got), err)
	}
	// It was killed: the lease holds, and nobody hears.
	if err := b.RenewLease(t.Context(), "killed"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	got, err = one.Ask(t.Context(), "echo", "", nil)
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("a killed process took %v", took)
	}
	if err != nil || !slices.Equal(who(got), []string{"one", "two"}) || !slices.Equal(got.Silent, []string{"killed"}) {
		t.Errorf("a killed process: %s, %v", said(got), err)
	}
	got, err = one.Ask(t.Context(), "echo", "", nil, "none", "two")
	if err != nil || !slices.Equal(who(got), []string{"two"}) || !slices.Equal(got.Silent, []string{"none"}) {
		t.Errorf("a process that does not exist: %s, %v", said(got), err)
	}
}

// TestGarbageOnTheTopic: what is no question, or is too long, is ignored; an unknown question and
// a panic are answered; and the process goes on.
func TestGarbageOnTheTopic(t *testing.T) {
	server := storetest.StartRedis(t)
	rdb, err := store.Open(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	one := join(t, bus(t, server.URL()), "one")
	two := join(t, bus(t, server.URL()), "two", func(f *fleet.Fleet) {
		f.Handle("panic", func(context.Context, fleet.Question) (any, error) { panic("fault") })
		f.Handle("long", func(context.Context, fleet.Question) (any, error) { return strings.Repeat("x", fleet.MaxAnswer), nil })
		f.Handle("nothing", func(context.Context, fleet.Question) (any, error) { return nil, nil })
		f.Handle("unencodable", func(context.Context, fleet.Question) (any, error) { return func() {}, nil })
	})
	await(t, one, "one", "two")
	place := strings.Repeat("A", 26)
	for _, text := range []string{"", "x", "null", "[]", "{}", `{"place":"` + place + `"}`, `{"place":"a:b","name":"echo","wait_ms":100}`,
		`{"place":"` + place + `","name":"echo","wait_ms":-1}`, `{"place":"` + place + `","name":"echo","wait_ms":1e12}`,
		`{"place":"` + place + `","name":"` + strings.Repeat("x", 65) + `","wait_ms":100}`,
		`{"place":"` + place + `","name":"echo","wait_ms":100,"body":"` + strings.Repeat("x", fleet.MaxQuestion) + `"}`} {
		if n, err := rdb.Publish(t.Context(), "pg:fleet:{fleet}:ask", text).Result(); n != 2 || err != nil {
			t.Fatal(n, err)
		}
	}
	for question, want := range map[string]string{"panic": "fault of the process", "long": "too long", "unencodable": "could not encode", "?": "does not know this question"} {
		got, err := one.Ask(t.Context(), question, "", nil, "two")
		if err != nil || len(got.Answers) != 1 || !strings.Contains(got.Answers[0].Err, want) || got.Answers[0].Body != nil {
			t.Errorf("%s: %s, %v", question, said(got), err)
		}
	}
	if got, err := one.Ask(t.Context(), "nothing", "", nil, "two"); err != nil || len(got.Answers) != 1 || string(got.Answers[0].Body) != "null" {
		t.Errorf("an answer without anything: %s, %v", said(got), err)
	}
	if !strings.Contains(two.log.String(), "fault") {
		t.Error("the panic is not in the log")
	}
	if _, err := one.Ask(t.Context(), "echo", "", strings.Repeat("x", fleet.MaxQuestion)); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Error("a long question:", err)
	}
	if keys := server.Must("KEYS", "*"+place+"*"); !strings.HasPrefix(keys, "*0") {
		t.Errorf("garbage was answered: %s", keys)
	}
}

// TestAnswersOfStrangers: what is put into the place of a question and is no answer is left out.
func TestAnswersOfStrangers(t *testing.T) {
	server := storetest.StartRedis(t)
	rdb, err := store.Open(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	one := join(t, bus(t, server.URL()), "one")
	await(t, one, "one")
	heard := rdb.Subscribe(t.Context(), "pg:fleet:{fleet}:ask")
	defer heard.Close()
	if _, err := heard.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	go func() {
		m := <-heard.Channel()
		var question struct{ Place string }
		_ = json.Unmarshal([]byte(m.Payload), &question)
		for _, text := range []string{"", "x", "null", "{}", `{"process":"two"}`, `{"process":"two","err":"` + strings.Repeat("é", 5000) + `"}`} {
			rdb.RPush(context.Background(), "pg:fleet:{fleet}:place:"+question.Place+":answers", text)
		}
	}()
	got, err := one.Ask(t.Context(), "echo", "", nil)
	if err != nil || !slices.Equal(who(got), []string{"one", "two"}) || len(got.Answers[1].Err) > 1100 {
		t.Errorf("%s, %v", said(got), err)
	}
}

// TestTooManyQuestions: a process answers a bounded number at a time, and says to the others that
// it is busy; it asks a bounded number at a time.
func TestTooManyQuestions(t *testing.T) {
	url := storetest.StartRedis(t).URL()
	one, two := join(t, bus(t, url), "one"), join(t, bus(t, url), "two")
	await(t, one, "one", "two")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	outcomes := make(chan string, 32)
	var asking sync.WaitGroup
	for range cap(outcomes) {
		asking.Go(func() {
			got, err := one.Ask(ctx, "hang", "", nil, "two")
			switch {
			case err != nil:
				outcomes <- err.Error()
			case len(got.Answers) == 1:
				outcomes <- got.Answers[0].Err
			default:
				outcomes <- said(got)
			}
		})
	}
	for range cap(outcomes) / 2 {
		if said := <-outcomes; !strings.Contains(said, "busy") {
			t.Errorf("a question too many: %s", said)
		}
	}
	two.stop() // the handlers return
	asking.Wait()
	for range cap(outcomes) / 2 {
		if said := <-outcomes; !strings.Contains(said, "is ending") {
			t.Errorf("a question at the end: %s", said)
		}
	}
	if err := bus(t, url).RenewLease(t.Context(), "killed"); err != nil {
		t.Fatal(err)
	}
	for range 33 {
		asking.Go(func() {
			_, err := one.Ask(soon(t), "echo", "", nil, "killed")
			outcomes <- fmt.Sprint(err)
		})
	}
	refused := 0
	for range 33 {
		if said := <-outcomes; strings.Contains(said, "too many questions") {
			refused++
		}
	}
	if asking.Wait(); refused == 0 {
		t.Error("33 questions were asked at a time")
	}
}

// TestRedisIsAway: this process answers at once, and an error says that the others are missing;
// when Redis is back, they answer again. Without a Redis at all it is the same.
func TestRedisIsAway(t *testing.T) {
	server := storetest.StartRedis(t)
	proxy := faulty.Start(t, server.Addr())
	one, two := join(t, bus(t, "redis://"+proxy.Addr()), "one"), join(t, bus(t, server.URL()), "two")
	await(t, one, "one", "two")
	server.Stop()
	began := time.Now()
	got, err := one.Ask(t.Context(), "echo", "", nil)
	if err == nil || !slices.Equal(who(got), []string{"one"}) || time.Since(began) > fleet.DefaultWait {
		t.Errorf("%s, %v, after %v", said(got), err, time.Since(began))
	}
	if got, err := one.Ask(t.Context(), "echo", "", nil, "one"); err != nil || !slices.Equal(who(got), []string{"one"}) {
		t.Errorf("itself: %s, %v", said(got), err)
	}
	if got, err := one.Ask(t.Context(), "echo", "", nil, "two"); err == nil || !slices.Equal(got.Silent, []string{"two"}) {
		t.Errorf("another: %s, %v", said(got), err)
	}
	server.Start()
	await(t, one, "one", "two")
	proxy.Cut() // the connections alone
	await(t, two, "one", "two")
	alone := join(t, nil, "alone")
	if got, err := alone.Ask(t.Context(), "echo", "", nil); err == nil || !slices.Equal(who(got), []string{"alone"}) {
		t.Errorf("without a Redis: %s, %v", said(got), err)
	}
}

// TestNothingIsPublishedWhileNobodyAsks: a process at rest costs one subscription and, every some
// seconds, a renewal of its lease.
func TestNothingIsPublishedWhileNobodyAsks(t *testing.T) {
	server := storetest.StartRedis(t)
	rdb, err := store.Open(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	join(t, bus(t, server.URL()), "one")
	testkit.Eventually(t, "a lease", func() bool { return server.Must("HLEN", "pg:fleet:{fleet}:leases") == ":1" })
	// The leases, and who was there in the last hour.
	if keys := server.Must("DBSIZE"); keys != ":2" {
		t.Errorf("%s keys", keys)
	}
	const topic = "pg:fleet:{fleet}:ask"
	if n, err := rdb.PubSubNumSub(t.Context(), topic).Result(); err != nil || n[topic] != 1 {
		t.Errorf("subscribers: %v, %v", n, err)
	}
}

// BenchmarkAsk asks a hundred processes.
func BenchmarkAsk(b *testing.B) {
	url := storetest.StartRedis(b).URL()
	var ids []string
	var first member
	for i := range 100 {
		ids = append(ids, fmt.Sprintf("edge-%02d", i))
		if m := join(b, bus(b, url), ids[i]); i == 0 {
			first = m
		}
	}
	await(b, first, ids...)
	b.ReportAllocs()
	for b.Loop() {
		if got, err := first.Ask(b.Context(), "echo", "", nil); err != nil || len(got.Answers) != 100 {
			b.Fatal(len(got.Answers), err)
		}
	}
}

var _ fleet.Bus = (*store.Store)(nil)
