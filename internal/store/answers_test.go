package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

// Whatever Redis answers instead of a success, appends fail in time and whole, and go on by
// themselves when it is well again, and so do followers.
func TestAnswersOfASickRedis(t *testing.T) {
	const timeout = 300 * time.Millisecond
	for _, c := range []struct {
		name       string
		sick, well [][]string
		answer     string // what the error must say; anything if empty
	}{
		{"full", [][]string{{"CONFIG", "SET", "maxmemory", "1"}}, [][]string{{"CONFIG", "SET", "maxmemory", "0"}}, "OOM"},
		{"replica", [][]string{{"REPLICAOF", "127.0.0.1", "1"}}, [][]string{{"REPLICAOF", "NO", "ONE"}}, "READONLY"},
		{"without replicas", [][]string{{"CONFIG", "SET", "min-replicas-to-write", "1"}}, [][]string{{"CONFIG", "SET", "min-replicas-to-write", "0"}}, "NOREPLICAS"},
		{"scripts forgotten", [][]string{{"SCRIPT", "FLUSH"}, {"CONFIG", "SET", "maxmemory", "1"}}, [][]string{{"CONFIG", "SET", "maxmemory", "0"}}, "OOM"},
		// Only its time ends it.
		{"paused", [][]string{{"CLIENT", "PAUSE", "2000", "ALL"}}, nil, ""},
		{"loading", [][]string{{"DEBUG", "POPULATE", "4000"}, {"CONFIG", "SET", "key-load-delay", "500"},
			{"CONFIG", "SET", "loading-process-events-interval-bytes", "1024"}}, nil, "LOADING"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := storetest.StartRedis(t, "--enable-debug-command", "yes")
			l := store.New(open(t, server.URL()), store.Config{Timeout: timeout}).Log("default")
			r := recorder(t, l)
			first := post(t, l, msg(time.Hour, "first", ch(1)))
			for _, words := range c.sick {
				if answer, err := server.Do(words...); answer != "+OK" {
					t.Fatal(words, answer, err)
				}
			}
			var reload sync.WaitGroup
			if c.name == "loading" {
				reload.Go(func() { _, _ = server.Do("DEBUG", "RELOAD") })
			}
			var failed []string
			testkit.Eventually(t, "a failure", func() bool {
				began := time.Now()
				_, err := l.Append(t.Context(), msg(time.Hour, "a", ch(1)), msg(time.Hour, "b", ch(2), ch(1)), msg(0, "t", ch(1)))
				if took := time.Since(began); took > timeout+3*time.Second {
					t.Errorf("an answer after %v: %v", took, err)
				}
				if err != nil {
					failed = append(failed, err.Error())
				}
				return err != nil && strings.Contains(err.Error(), c.answer)
			})
			reload.Wait()
			for _, words := range c.well {
				if answer, err := server.Do(words...); answer != "+OK" {
					t.Fatal(words, answer, err)
				}
			}
			var last proto.ID
			testkit.Eventually(t, "appends again", func() bool {
				receipts, err := l.Append(context.Background(), msg(time.Hour, "last", ch(1)))
				if err == nil {
					last = receipts[0].ID
				}
				return err == nil
			})
			if !last.After(first) {
				t.Errorf("%v after %v", last, first)
			}
			testkit.Eventually(t, "the follower again", func() bool { _, _, up, newest := r.State(); return up && !last.After(newest) })
			all := held(t, l, ch(1))
			as, bs := slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s != "a" }), held(t, l, ch(2))
			if len(as) != len(bs) || all[0] != "first" || c.answer != "" && c.answer != "LOADING" && len(bs) > 0 {
				t.Errorf("held %q and %q after %q", all, bs, failed)
			}
		})
	}
}

// Memory runs out somewhere in the middle of large appends.
func TestMemoryRunsOut(t *testing.T) {
	rdb := open(t, storetest.StartRedis(t).URL())
	for _, window := range []time.Duration{0, time.Hour} {
		l := store.New(rdb, store.Config{WriteWindow: window}).Log(fmt.Sprint(window))
		r := recorder(t, l)
		stats, err := rdb.InfoMap(t.Context(), "memory").Result()
		if err != nil {
			t.Fatal(err)
		}
		var used int64
		_, _ = fmt.Sscan(stats["Memory"]["used_memory"], &used)
		if err := rdb.ConfigSet(t.Context(), "maxmemory", fmt.Sprint(used+4<<20)).Err(); err != nil {
			t.Fatal(err)
		}
		body, done, refused := strings.Repeat("x", 50_000), 0, 0
		for i := range 60 {
			var batch []*proto.Message
			for range 7 {
				batch = append(batch, msg(time.Hour, body, ch(byte(i)), ch(0)))
			}
			_, err := l.Append(t.Context(), batch...)
			switch {
			case err == nil:
				done++
			case redis.HasErrorPrefix(errors.Unwrap(err), "OOM"):
				refused++
			default:
				t.Error(err)
			}
		}
		if done == 0 || refused == 0 {
			t.Errorf("%d appends done, %d refused", done, refused)
		}
		if got := len(held(t, l, ch(0))); got != 7*done {
			t.Errorf("%d messages of %d appends", got, done)
		}
		testkit.Eventually(t, "notifications", func() bool { return len(r.Texts()) >= 7*done })
		if got := len(r.Texts()); got != 7*done {
			t.Errorf("the follower got %d messages of %d appends", got, done)
		}
		if err := rdb.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
			t.Fatal(err)
		}
	}
}
