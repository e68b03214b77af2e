package store_test

import (
	"testing"
	"time"

	"pushgate/internal/store"
	"pushgate/internal/testkit/storetest"
)

// TestDeadConnectionIsSeenBeforeItIsUsed: an append over a connection that Redis has closed would
// fail, and nobody sends it again.
func TestDeadConnectionIsSeenBeforeItIsUsed(t *testing.T) {
	server := storetest.StartRedis(t)
	rdb, other := open(t, server.URL()), open(t, server.URL())
	l := store.New(rdb, store.Config{Timeout: 5 * time.Second}).Log("default")
	for range 5 {
		post(t, l, msg(time.Hour, "x", ch(1)))
		if err := other.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
			t.Fatal(err)
		}
	}
}
