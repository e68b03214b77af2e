package store_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/store"
	"pushgate/internal/testkit/storetest"
)

func TestOpen(t *testing.T) {
	for _, url := range []string{
		"", "localhost:6379", "http://localhost", "redis://", "unix://", "redis://:secret@local host", "redis://user:sec/ret@localhost",
		"redis://user:secret@localhost/notadb", "redis://user:secret@localhost?secret=1", "redis://:secret%zz@localhost",
	} {
		rdb, err := store.Open(url)
		if !errors.Is(err, store.ErrURL) || rdb != nil {
			t.Errorf("open %q: %v, %v", url, rdb, err)
		} else if strings.Contains(err.Error(), "sec") {
			t.Errorf("open %q says too much: %v", url, err)
		}
	}
	socket := t.TempDir() + "/redis.sock"
	server := storetest.StartRedis(t, "--unixsocket", socket, "--databases", "4")
	for _, url := range []string{server.URL(), server.URL() + "/3", "unix://" + socket, "unix://" + socket + "?db=2"} {
		l := store.New(open(t, url), store.Config{}).Log("default")
		post(t, l, msg(time.Hour, url, ch(1)))
	}
	l := store.New(open(t, "unix://"+socket+"?db=3"), store.Config{}).Log("default")
	if got := held(t, l, ch(1)); !slices.Equal(got, []string{server.URL() + "/3"}) {
		t.Errorf("database 3 holds %q", got)
	}
	if rdb := open(t, "rediss://localhost:1/1"); rdb.(*redis.Client).Options().TLSConfig == nil {
		t.Error("rediss:// without TLS")
	}
}
