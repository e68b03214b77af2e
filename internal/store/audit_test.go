package store_test

import (
	"fmt"
	"testing"
	"time"

	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

// TestAuditLogIsBounded: the newest acts stay, in order, as the documented user of Redis; what does
// not decode hides none of the others.
func TestAuditLogIsBounded(t *testing.T) {
	server := storetest.StartRedis(t)
	allow(t, server)
	s := store.New(open(t, userURL("redis", server.Addr(), "")), store.Config{})
	if acts, err := s.Acts(t.Context(), 10); err != nil || len(acts) != 0 {
		t.Fatal(acts, err)
	}
	words := []string{"RPUSH", "pg:audit"}
	for range store.MaxActs - 1 {
		words = append(words, "broken")
	}
	server.Must(words...)
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	var want []proto.Act
	for i := range 3 {
		act := proto.Act{At: at, Who: "ivan", Process: "edge-0", From: "127.0.0.1", What: "log-level", Whom: fmt.Sprint(i), Result: "done"}
		if err := s.RecordAct(t.Context(), act); err != nil {
			t.Fatal(err)
		}
		want = append([]proto.Act{act}, want...)
	}
	got, err := s.Acts(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	if diff := testkit.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err := s.Acts(t.Context(), 1); err != nil || len(got) != 1 || got[0].Whom != "2" {
		t.Errorf("the newest: %v, %v", got, err)
	}
	if n := server.Must("LLEN", "pg:audit"); n != fmt.Sprintf(":%d", store.MaxActs) {
		t.Errorf("%s entries", n)
	}
}
