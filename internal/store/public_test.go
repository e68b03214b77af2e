package store_test

import (
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit/storetest"
)

// TestPublicIDsStoredByAnOlderBuild: a client's message that an older build has stored under a
// private id reaches nobody.
func TestPublicIDsStoredByAnOlderBuild(t *testing.T) {
	rdb := open(t, storetest.StartRedis(t).URL())
	l := store.New(rdb, store.Config{}).Log("default")
	strayed := msg(time.Hour, "a client's", channel.ForPublic(ch(1)))
	strayed.Sender = proto.Sender{Type: proto.SenderClient, ID: ch(7)}
	id := post(t, l, strayed)
	post(t, l, msg(time.Hour, "a portal's", ch(1)))
	list, err := rdb.Keys(t.Context(), "*c:"+channel.ForPublic(ch(1)).String()).Result()
	if err != nil || len(list) != 1 {
		t.Fatalf("%d lists of the public id, %v", len(list), err)
	}
	prefix := list[0][:len(list[0])-channel.IDLen]
	// As an older build did.
	if err := rdb.LPush(t.Context(), prefix+ch(1).String(), id.String()).Err(); err != nil {
		t.Fatal(err)
	}
	for of, want := range map[channel.ID]string{ch(1): "a portal's", channel.ForPublic(ch(1)): "a client's"} {
		page, err := l.History(t.Context(), []channel.ID{of}, proto.ID{})
		if err != nil || len(page.Messages) != 1 || string(page.Messages[0].Body) != want {
			t.Errorf("%v, %v; want %s", page.Messages, err, want)
		}
	}
}
