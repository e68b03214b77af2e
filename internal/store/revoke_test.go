package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"pushgate/internal/proto"
	"pushgate/internal/revoke"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

// TestRevocationsAreBounded: at the bound a new entry is refused, and those that there are stay,
// can be changed, and make room when they end.
func TestRevocationsAreBounded(t *testing.T) {
	server := storetest.StartRedis(t)
	rdb := open(t, server.URL())
	l := store.New(rdb, store.Config{}).Log("default")
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	pipe := rdb.Pipeline()
	for i := range revoke.MaxEntries - 1 {
		pipe.Do(t.Context(), "zadd", "pg:{default}:revoked", until.Unix(), string(revoke.User(int64(i+1))))
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	last, more := revoke.User(1<<40), revoke.User(1<<41)
	if err := l.Revoke(t.Context(), last, until); err != nil {
		t.Fatal(err)
	}
	if err := l.Revoke(t.Context(), more, until); !errors.Is(err, revoke.ErrFull) {
		t.Errorf("at the bound: %v", err)
	}
	if err := l.Revoke(t.Context(), last, until.Add(time.Hour)); err != nil {
		t.Errorf("an entry that is there: %v", err)
	}
	list, _, err := l.Revocations(t.Context(), proto.ID{})
	if err != nil || len(list) != revoke.MaxEntries || list[last] != until.Add(time.Hour).Unix() {
		t.Fatalf("%d entries, the last until %v: %v", len(list), list[last], err)
	}
	if err := l.Lift(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if err := l.Revoke(t.Context(), more, until); err != nil {
		t.Errorf("after one was lifted: %v", err)
	}
	if other, _, err := store.New(rdb, store.Config{}).Log("other").Revocations(t.Context(), proto.ID{}); err != nil || len(other) != 0 {
		t.Errorf("another portal has %d entries: %v", len(other), err)
	}
	if ttl := rdb.TTL(t.Context(), "pg:{default}:revoked").Val(); ttl <= 0 {
		t.Error("the key never expires")
	}
}

// TestRevocationSurvivesANewMaster: with a replica that must have it, an accepted revocation is
// there after a failover. Without the replica it is not accepted.
func TestRevocationSurvivesANewMaster(t *testing.T) {
	sentinel := storetest.StartSentinel(t)
	var cfg store.Config
	if err := cfg.Replicas.UnmarshalText([]byte("*=1")); err != nil {
		t.Fatal(err)
	}
	l := store.New(open(t, sentinel.URL()), cfg).Log("default")
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	if err := l.Revoke(t.Context(), revoke.User(17), until); err != nil {
		t.Fatal(err)
	}
	sentinel.Switch()
	testkit.Eventually(t, "the new master has the entry", func() bool {
		list, _, err := l.Revocations(context.Background(), proto.ID{})
		return err == nil && list[revoke.User(17)] == until.Unix()
	})
	alone := store.New(open(t, storetest.StartRedis(t).URL()), cfg).Log("default")
	if err := alone.Revoke(t.Context(), revoke.User(18), until); err == nil {
		t.Error("accepted without its replica")
	}
}
