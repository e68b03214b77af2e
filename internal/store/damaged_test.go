package store_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

func TestDamagedRecords(t *testing.T) {
	rdb := open(t, storetest.StartRedis(t).URL())
	var mu sync.Mutex
	var damaged []proto.ID
	cfg := store.Config{PageMessages: 2, Damaged: func(id proto.ID, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			t.Error("damaged, and no error")
		}
		damaged = append(damaged, id)
	}}
	reported := func() []proto.ID {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(damaged)
	}
	l := store.New(rdb, cfg).Log("default")
	r := recorder(t, l)
	var ids []proto.ID
	for i := range 5 {
		ids = append(ids, post(t, l, msg(time.Hour, fmt.Sprint(i), ch(1))))
	}
	for _, i := range []int{0, 2, 3} {
		if err := rdb.Set(t.Context(), "pg:{default}:m:"+ids[i].String(), "garbage", time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if got := held(t, l, ch(1)); !slices.Equal(got, []string{"1", "4"}) {
		t.Errorf("held %q", got)
	}
	if got := reported(); !slices.Equal(got, []proto.ID{ids[0], ids[2], ids[3]}) {
		t.Errorf("reported %v", got)
	}
	next := ids[4]
	next.Sequence++
	for _, payload := range []string{"", "garbage", strings.Repeat("x", 40), next.String() + "garbage"} {
		if err := rdb.Publish(t.Context(), "pg:{default}:notify", payload).Err(); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Eventually(t, "all reported", func() bool { return len(reported()) == 3+4 })
	if got := reported()[6]; got != next {
		t.Errorf("reported %v, want %v", got, next)
	}
	if _, downs, up, _ := r.State(); downs > 0 || !up {
		t.Errorf("up %v, %d downs", up, downs)
	}
}
