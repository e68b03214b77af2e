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

// portal returns the log on a server of a process that knows nothing yet.
func portal(t testing.TB, server *storetest.Redis) *store.Log {
	t.Helper()
	return store.New(open(t, server.URL()), store.Config{}).Log("default")
}

// owed returns what a reader with a cursor gets, and whether a gap is reported to it.
func owed(t testing.TB, l *store.Log, after proto.ID) (texts []string, gap bool) {
	t.Helper()
	page, err := l.History(t.Context(), []channel.ID{ch(1)}, after)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range page.Messages {
		texts = append(texts, string(m.Body))
	}
	return texts, page.Gap()
}

// TestReplicaThatHasAll: ids begin anew, and no gap is reported.
func TestReplicaThatHasAll(t *testing.T) {
	master := storetest.StartRedis(t)
	replica := master.AddReplica()
	l := portal(t, master)
	first, last := post(t, l, msg(time.Hour, "a", ch(1))), post(t, l, msg(time.Hour, "b", ch(1)))
	next := portal(t, replica)
	testkit.Eventually(t, "the replica has all", func() bool { head, err := next.Head(t.Context(), proto.ID{}); return err == nil && head == last })
	replica.Must("REPLICAOF", "NO", "ONE")
	if head, err := next.Head(t.Context(), proto.ID{}); err != nil || head != last {
		t.Errorf("a caller that knows nothing moved the head to %v, %v", head, err)
	}
	head, err := next.Head(t.Context(), last)
	if err != nil || head.Epoch <= last.Epoch {
		t.Errorf("head %v, %v", head, err)
	}
	id := post(t, next, msg(time.Hour, "c", ch(1)))
	if id.Epoch != head.Epoch {
		t.Errorf("id %v, head %v", id, head)
	}
	if again, err := next.Head(t.Context(), last); err != nil || again != id {
		t.Errorf("head %v, %v", again, err)
	}
	for _, test := range []struct {
		after proto.ID
		want  []string
		gap   bool
	}{{first, []string{"b", "c"}, false}, {last, []string{"c"}, false}, {head, []string{"c"}, false},
		// A caller that knows more knows an id that is lost.
		{proto.ID{Epoch: last.Epoch, Sequence: last.Sequence + 1}, []string{"c"}, true}} {
		if texts, gap := owed(t, next, test.after); !slices.Equal(texts, test.want) || gap != test.gap {
			t.Errorf("after %v: %q, gap %v", test.after, texts, gap)
		}
	}
}

// TestReplicaThatLacksIDs: lost ids are not assigned again, even for a caller that knows nothing of
// them. Once a caller comes that does, the gap is reported to all readers, also to those that have
// read what came since.
func TestReplicaThatLacksIDs(t *testing.T) {
	for _, knower := range []string{"publisher", "edge"} {
		t.Run(knower, func(t *testing.T) {
			master := storetest.StartRedis(t)
			replica := master.AddReplica()
			l := portal(t, master)
			left := post(t, l, msg(time.Hour, "a", ch(1)))
			next := portal(t, replica)
			testkit.Eventually(t, "the replica has it", func() bool { head, err := next.Head(t.Context(), proto.ID{}); return err == nil && head == left })
			replica.Must("REPLICAOF", "127.0.0.1", "1")
			gone := post(t, l, msg(time.Hour, "gone", ch(1)))
			replica.Must("REPLICAOF", "NO", "ONE")

			edge := recorder(t, portal(t, replica)) // which knows nothing of it
			id := post(t, next, msg(time.Hour, "b", ch(1)))
			testkit.Eventually(t, "the edge's sessions have read it", func() bool { _, _, up, newest := edge.State(); return up && newest == id })
			if id.Epoch <= gone.Epoch {
				t.Errorf("%v was assigned after %v, which others know", id, gone)
			}
			if texts, gap := owed(t, next, gone); !slices.Equal(texts, []string{"b"}) || !gap {
				t.Errorf("a reader that has what is lost: %q, gap %v", texts, gap)
			}
			if _, gap := owed(t, next, left); gap {
				t.Error("a gap of which nobody knows")
			}
			knows := portal(t, replica)
			if head, err := knows.Head(t.Context(), gone); err != nil || head.Epoch <= id.Epoch {
				t.Fatalf("head %v after %v, %v", head, id, err)
			}
			raised := head(t, next)
			if knower == "publisher" {
				post(t, knows, msg(time.Hour, "c", ch(1)))
				// Another edge, which knows too, but nothing new.
			} else if _, err := next.Head(t.Context(), gone); err != nil {
				t.Fatal(err)
			}
			last := post(t, next, msg(time.Hour, "d", ch(1)))
			for _, after := range []proto.ID{left, gone, id} {
				if _, gap := owed(t, next, after); !gap {
					t.Errorf("no gap for a reader at %v", after)
				}
			}
			if _, gap := owed(t, next, last); gap {
				t.Error("a second gap")
			}
			if last.Epoch != raised.Epoch {
				t.Errorf("%v, and %v before: one loss, two epochs", last, raised)
			}
			testkit.Eventually(t, "the edge's sessions have read what there is", func() bool { _, _, up, newest := edge.State(); return up && newest == last })
			if edge.Resyncs() < 3 {
				t.Errorf("%d resyncs: no gap for the sessions that were there", edge.Resyncs())
			}
		})
	}
}

// TestReaderOfLostIDsComesFirst: it does not get again what it has, although nobody else knows of
// the ids.
func TestReaderOfLostIDsComesFirst(t *testing.T) {
	server := storetest.StartRedis(t)
	left := post(t, portal(t, server), msg(time.Hour, "a", ch(1)))
	gone := proto.ID{Epoch: left.Epoch, Sequence: left.Sequence + 1}
	if texts, gap := owed(t, portal(t, server), gone); len(texts) != 1 || !gap {
		t.Errorf("an id that the same server has not assigned: %q, gap %v", texts, gap)
	}
	server.Must("REPLICAOF", "127.0.0.1", "1")
	server.Must("REPLICAOF", "NO", "ONE")
	if texts, gap := owed(t, portal(t, server), gone); len(texts) > 0 || !gap {
		t.Errorf("%q, gap %v", texts, gap)
	}
}

func head(t testing.TB, l *store.Log) proto.ID {
	t.Helper()
	id, err := l.Head(t.Context(), proto.ID{})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestServerThatBeganAnew: to have been a replica for a moment, or restarted, makes a server
// another one. Followers that listen to it all the time miss nothing, stored or not.
func TestServerThatBeganAnew(t *testing.T) {
	server := storetest.StartRedis(t)
	l := portal(t, server)
	r := recorder(t, l)
	before := post(t, l, msg(time.Hour, "a", ch(1)))
	server.Must("REPLICAOF", "127.0.0.1", "1")
	server.Must("REPLICAOF", "NO", "ONE")
	after := post(t, l, msg(0, "b", ch(1)))
	post(t, l, msg(time.Hour, "c", ch(1)))
	testkit.Eventually(t, "notifications", func() bool { return len(r.Texts()) == 3 })
	if after.Epoch <= before.Epoch || !slices.Equal(r.Texts(), []string{"a", "b", "c"}) || r.Resyncs() != 2 {
		t.Errorf("%v after %v, %q, %d resyncs", after, before, r.Texts(), r.Resyncs())
	}
	if texts, gap := owed(t, l, before); !slices.Equal(texts, []string{"c"}) || gap {
		t.Errorf("%q, gap %v", texts, gap)
	}
}

// TestNewMasterThatTakesNothing: readers and edges have what there is.
func TestNewMasterThatTakesNothing(t *testing.T) {
	server := storetest.StartRedis(t)
	l := portal(t, server)
	id := post(t, l, msg(time.Hour, "a", ch(1)))
	server.Must("REPLICAOF", "127.0.0.1", "1")
	server.Must("REPLICAOF", "NO", "ONE")
	server.Must("CONFIG", "SET", "min-replicas-to-write", "1")
	if head, err := l.Head(t.Context(), id); err != nil || head != id {
		t.Errorf("head %v, %v", head, err)
	}
	if _, err := l.Append(t.Context(), msg(time.Hour, "b", ch(1))); err == nil {
		t.Error("a message was appended")
	}
	if _, err := l.Head(t.Context(), proto.ID{Epoch: id.Epoch, Sequence: id.Sequence + 1}); err == nil {
		t.Error("no error, though a new epoch could not be opened")
	}
	server.Must("CONFIG", "SET", "min-replicas-to-write", "0")
	if next := post(t, l, msg(time.Hour, "b", ch(1))); next.Epoch <= id.Epoch {
		t.Errorf("%v after %v", next, id)
	}
}
