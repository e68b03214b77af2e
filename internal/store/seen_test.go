package store_test

import (
	"fmt"
	"strings"
	"testing"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit/storetest"
)

// TestLastSeenIsOneRead: Redis does for a question about many users what it does for one: one
// command for each edge, and no more round trips, whatever it has forgotten.
func TestLastSeenIsOneRead(t *testing.T) {
	server := storetest.StartRedis(t)
	rdb := open(t, server.URL())
	l := store.New(rdb, store.Config{}).Log("default")
	const edges, many = 6, 2500
	users := make([]int64, many)
	changes := make([]proto.Presence, 0, many/2)
	for i := range users {
		users[i] = int64(i + 1)
		if i%2 == 0 {
			changes = append(changes, proto.Presence{Channel: channel.ForUser(users[i]), Sessions: 1})
		}
	}
	for n := range edges {
		if _, _, err := l.SetPresence(t.Context(), fmt.Sprint("edge-", n), changes, true); err != nil {
			t.Fatal(err)
		}
	}
	calls := func(name string) (n int) {
		stats, err := rdb.Info(t.Context(), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(stats, "cmdstat_"+name+":calls=")
		_, _ = fmt.Sscanf(rest, "%d", &n)
		return n
	}
	for range 2 { // the second time it knows the script
		if answer, err := server.Do("CONFIG", "RESETSTAT"); answer != "+OK" {
			t.Fatal(answer, err)
		}
		sessions, seen, err := l.LastSeen(t.Context(), users)
		if err != nil {
			t.Fatal(err)
		}
		for i := range users {
			if want := (i + 1) % 2 * edges; sessions[i] != want || seen[i].IsZero() != (want == 0) {
				t.Fatalf("user %d: %d sessions, last seen %v", users[i], sessions[i], seen[i])
			}
		}
		if n := calls("hget") + calls("hmget"); n > 3*edges {
			t.Errorf("%d reads of presence, want 3 for each of %d edges", n, edges)
		}
	}
	if n := calls("evalsha") + calls("zmscore"); n != 2 {
		t.Errorf("%d commands, want 2", n)
	}
}
