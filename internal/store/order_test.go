package store_test

import (
	"slices"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
)

func TestIDsThatGoBackAreAResync(t *testing.T) {
	rdb := open(t, storetest.StartRedis(t).URL())
	l := store.New(rdb, calm()).Log("default")
	r := recorder(t, l)
	id := post(t, l, msg(time.Hour, "a", ch(1)))
	testkit.Eventually(t, "notification", func() bool { return len(r.Texts()) == 1 })
	record := string(proto.AppendRecord(nil, msg(time.Hour, "x", ch(1))))
	for i, back := range []proto.ID{id, {Epoch: id.Epoch - 1, Sequence: 1000}} {
		if err := rdb.Publish(t.Context(), "pg:{default}:notify", back.String()+record).Err(); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, "a resync", func() bool { return r.Resyncs() == i+2 })
	}
	// Right after a resync, what it covers may still come in. That is no fault.
	if err := rdb.Publish(t.Context(), "pg:{default}:notify", id.String()+record).Err(); err != nil {
		t.Fatal(err)
	}
	post(t, l, msg(time.Hour, "b", ch(1)))
	testkit.Eventually(t, "notification", func() bool { return len(r.Texts()) == 2 })
	if r.Resyncs() != 3 || !slices.Equal(r.Texts(), []string{"a", "b"}) {
		t.Errorf("%d resyncs, texts %q", r.Resyncs(), r.Texts())
	}
}

// TestIDsThatAreMissingAreAResync: what was published and did not come is in the log.
func TestIDsThatAreMissingAreAResync(t *testing.T) {
	rdb := open(t, storetest.StartRedis(t).URL())
	l := store.New(rdb, calm()).Log("default")
	r := recorder(t, l)
	id := post(t, l, msg(time.Hour, "a", ch(1)))
	testkit.Eventually(t, "notification", func() bool { return len(r.Texts()) == 1 })
	record := string(proto.AppendRecord(nil, msg(time.Hour, "x", ch(1))))
	for i, ahead := range []proto.ID{{Epoch: id.Epoch, Sequence: id.Sequence + 2}, {Epoch: id.Epoch + 1, Sequence: 2}} {
		if err := rdb.Set(t.Context(), "pg:{default}:head", ahead.String(), 0).Err(); err != nil {
			t.Fatal(err)
		}
		if err := rdb.Publish(t.Context(), "pg:{default}:notify", ahead.String()+record).Err(); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, "a resync", func() bool { return r.Resyncs() == i+2 })
	}
	post(t, l, msg(time.Hour, "b", ch(1)))
	testkit.Eventually(t, "notification", func() bool { return len(r.Texts()) == 2 })
	if _, _, up, _ := r.State(); !up || r.Resyncs() != 3 || !slices.Equal(r.Texts(), []string{"a", "b"}) {
		t.Errorf("up %v, %d resyncs, texts %q", up, r.Resyncs(), r.Texts())
	}
}

// TestReaderAheadOfALogThatLostIDs: a caller that knows what was lost opens a new epoch before
// anybody reads, and a reader that has what is left does not get it again.
func TestReaderAheadOfALogThatLostIDs(t *testing.T) {
	for _, knows := range []bool{true, false} {
		rdb := open(t, storetest.StartRedis(t).URL())
		l := store.New(rdb, calm()).Log("default")
		r := recorder(t, l)
		writer := store.New(rdb, calm()).Log("default")
		left := post(t, writer, msg(time.Hour, "a", ch(1)))
		gone := post(t, writer, msg(time.Hour, "b", ch(1)))
		testkit.Eventually(t, "notifications", func() bool { return len(r.Texts()) == 2 })
		// As a replica that was behind has it.
		if err := rdb.Set(t.Context(), "pg:{default}:head", left.String(), 0).Err(); err != nil {
			t.Fatal(err)
		}
		reader := l
		if !knows {
			reader = store.New(rdb, calm()).Log("default")
		}
		page, err := reader.History(t.Context(), []channel.ID{ch(1)}, gone)
		if err != nil {
			t.Fatal(err)
		}
		if opened := page.Head.Epoch > gone.Epoch; opened != knows || !page.Gap() || (len(page.Messages) == 0) != knows {
			t.Errorf("with knowledge %v: head %v after %v, gap %v, %d messages", knows, page.Head, gone, page.Gap(), len(page.Messages))
		}
	}
}
