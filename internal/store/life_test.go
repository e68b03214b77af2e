package store_test

import (
	"testing"
	"time"

	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

func TestLifeInRealTime(t *testing.T) {
	l := store.New(open(t, storetest.StartRedis(t).URL()), store.Config{}).Log("default")
	began := time.Now()
	post(t, l, msg(150*time.Millisecond, "short", ch(1)))
	post(t, l, msg(time.Hour, "long", ch(1)))
	if got := held(t, l, ch(1)); len(got) != 2 && time.Since(began) < 150*time.Millisecond {
		t.Errorf("held %q at once", got)
	}
	testkit.Eventually(t, "the short one expires", func() bool { return len(held(t, l, ch(1))) == 1 })
	if took := time.Since(began); took < 150*time.Millisecond {
		t.Errorf("expired after %v", took)
	}
}

func TestDeadIDsAreSwept(t *testing.T) {
	rdb := open(t, storetest.StartRedis(t).URL())
	l := store.New(rdb, store.Config{}).Log("default")
	for i := range 140 {
		if i == 100 {
			age(t, rdb, 2*time.Minute)
		}
		post(t, l, msg(time.Minute, "x", ch(1)))
	}
	n, err := rdb.LLen(t.Context(), "pg:{default}:c:"+ch(1).String()).Result()
	if err != nil || n > 80 {
		t.Errorf("a list of %d ids for 40 messages, %v", n, err)
	}
}
