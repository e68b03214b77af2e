package storetest

import (
	"fmt"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit"
)

// lifeCases are about what ends: messages, lists, windows and leases.
func lifeCases() []testCase {
	return []testCase{
		{"each message has its own life", store.Config{}, func(b *bench) {
			start := b.post(24*time.Hour, "day", ch(1))
			b.post(time.Minute, "minute", ch(1), ch(2))
			b.post(2*time.Minute, "minutes", ch(1))
			b.post(time.Hour, "hour", ch(2), ch(1))
			b.want("minute minutes hour", start, ch(1))
			b.Advance(90 * time.Second)
			b.want("day minutes hour", proto.ID{}, ch(1))
			b.want("hour", proto.ID{}, ch(2))
			b.Advance(time.Hour)
			b.want("day", proto.ID{}, ch(1), ch(2))
			b.Advance(22*time.Hour + 57*time.Minute)
			b.want("day", proto.ID{}, ch(1))
			b.Advance(2 * time.Minute)
			b.want("", proto.ID{}, ch(1))
		}},
		{"a list outlives its last message", store.Config{}, func(b *bench) {
			b.post(time.Minute, "a", ch(1))
			for range 3 { // each is the last one for almost the longest life of a list
				b.Advance(23 * time.Hour)
				b.post(24*time.Hour, "b", ch(1))
			}
			b.Advance(23 * time.Hour)
			b.want("b", proto.ID{}, ch(1))
			b.Advance(2 * time.Hour)
			b.want("", proto.ID{}, ch(1))
		}},
		{"dead ids at a list's head do not count for ever", store.Config{ChannelCap: 40}, func(b *bench) {
			for i := range 32 {
				b.post(time.Minute, fmt.Sprint(i), ch(1))
			}
			b.Advance(2 * time.Minute)
			start := b.post(time.Hour, "start", ch(1))
			for i := range 39 {
				b.post(time.Hour, fmt.Sprint(i), ch(1))
			}
			if got, gap := b.all(start, ch(1)); len(got) != 39 || gap {
				b.Errorf("%d messages, gap %v", len(got), gap)
			}
		}},
		{"transient messages are not held", store.Config{}, func(b *bench) {
			before := b.post(time.Hour, "a", ch(1))
			transient := b.post(0, "t", ch(1))
			tiny := b.post(time.Microsecond, "t", ch(1)) // lives are whole milliseconds
			after := b.post(time.Hour, "b", ch(1))
			if !transient.After(before) || !tiny.After(transient) || !after.After(tiny) {
				b.Errorf("ids %v %v %v %v", before, transient, tiny, after)
			}
			b.want("a b", proto.ID{}, ch(1))
			b.want("b", transient, ch(1))
			if p := b.page(after, ch(1)); p.Through != after {
				b.Errorf("through %v, want %v", p.Through, after)
			}
		}},
		{"a write window closes a channel for writing only", store.Config{WriteWindow: 12 * time.Hour}, writeWindow},
		{"without a write window channels stay open", store.Config{}, func(b *bench) {
			for range 5 {
				b.post(time.Hour, "x", ch(1))
				b.Advance(20 * time.Hour)
			}
		}},
		{"messages with the same key are stored once", store.Config{WriteWindow: 12 * time.Hour}, keyCase},
		{"presence is under lease", store.Config{}, presenceCase},
		{"many channels of presence", store.Config{}, func(b *bench) {
			changes := make([]proto.Presence, 5000)
			for i := range changes {
				changes[i] = proto.Presence{Channel: channel.FromBytes([16]byte{byte(i), byte(i >> 8)}), Sessions: i + 1}
			}
			b.presence("e", changes, true, true)
			b.online([]int{1, 2500, 5000}, changes[0].Channel, changes[2499].Channel, changes[4999].Channel)
		}},
		{"users come and leave", store.Config{}, usersCase},
		{"many users come and leave", store.Config{}, manyUsersCase},
		{"users are last seen", store.Config{}, seenCase},
		{"statistics of processes are under lease", store.Config{}, statsCase},
	}
}

// keyCase appends a message with the same key again: alone, among others, twice in one call, and to
// a channel that has been closed since.
func keyCase(b *bench) {
	keyed := func(key, text string, receivers ...channel.ID) *proto.Message {
		m := msg(24*time.Hour, text, receivers...)
		m.Key = key
		return m
	}
	first := b.append(keyed("k", "a", ch(1)))[0]
	if first.Repeated || first.ID.IsZero() {
		b.Errorf("first: %+v", first)
	}
	again := proto.Receipt{ID: first.ID, Repeated: true}
	if got := b.append(keyed("k", "a", ch(1))); !testkit.Equal(got, []proto.Receipt{again}) {
		b.Errorf("again: %+v, want %+v", got, again)
	}
	got := b.append(msg(time.Hour, "b", ch(1)), keyed("k", "a", ch(1)), keyed("l", "c", ch(1)), keyed("l", "c", ch(1)), msg(time.Hour, "d", ch(1)))
	want := []proto.Receipt{{ID: got[0].ID}, again, {ID: got[2].ID}, {ID: got[2].ID, Repeated: true}, {ID: got[4].ID}}
	if !testkit.Equal(got, want) || !got[2].ID.After(got[0].ID) || !got[4].ID.After(got[2].ID) {
		b.Errorf("among others: %+v", got)
	}
	b.want("a b c d", proto.ID{}, ch(1))
	b.Advance(store.KeyLife - time.Minute)
	if got := b.append(keyed("k", "a", ch(1))); !testkit.Equal(got, []proto.Receipt{again}) {
		b.Errorf("before the key is forgotten: %+v", got)
	}
	b.Advance(2 * time.Minute)
	if got := b.append(keyed("k", "e", ch(1)))[0]; got.Repeated || !got.ID.After(first.ID) {
		b.Errorf("after it: %+v", got)
	}
	b.want("a b c d e", proto.ID{}, ch(1))
	late := b.append(keyed("m", "f", ch(1), ch(2)))[0]
	b.Advance(12*time.Hour - store.KeyLife - time.Minute)
	closing := b.append(keyed("n", "g", ch(1), ch(2)))[0]
	b.Advance(2 * time.Minute) // channel 1 is closed
	if got := b.append(keyed("n", "g", ch(1), ch(2)))[0]; got.ID != closing.ID || !got.Repeated || late.ID == closing.ID {
		b.Errorf("to a channel that has closed since: %+v", got)
	}
	if got := b.append(keyed("o", "h", ch(1)), keyed("o", "h", ch(1))); !got[0].ID.IsZero() || !got[1].ID.IsZero() {
		b.Errorf("to a closed channel: %+v", got)
	}
}

func writeWindow(b *bench) {
	b.post(24*time.Hour, "a", ch(1))
	b.Advance(6 * time.Hour)
	b.post(24*time.Hour, "b", ch(1), ch(2))
	b.post(0, "t", ch(3)) // a transient message is a first message too
	b.Advance(5*time.Hour + 59*time.Minute)
	b.post(24*time.Hour, "c", ch(1))
	b.Advance(2 * time.Minute) // channel 1 is closed, 2 and 3 are open for six hours more

	some := msg(time.Hour, "some", ch(4), ch(1), ch(2))
	some.Sender = proto.Sender{Type: proto.SenderBackend, ID: ch(77)}
	receipts := b.append(
		msg(time.Hour, "none", ch(1)),
		some,
		msg(0, "none", ch(1)),
		msg(time.Hour, "all", ch(2)),
	)
	want := []proto.Receipt{
		{Closed: []channel.ID{ch(1)}},
		{ID: receipts[1].ID, Closed: []channel.ID{ch(1)}},
		{Closed: []channel.ID{ch(1)}},
		{ID: receipts[3].ID},
	}
	if !testkit.Equal(receipts, want) || receipts[1].ID.IsZero() || !receipts[3].ID.After(receipts[1].ID) {
		b.Errorf("receipts %+v", receipts)
	}
	b.want("a b c", proto.ID{}, ch(1))
	b.want("b some all", proto.ID{}, ch(2))
	b.want("some", proto.ID{}, ch(4))
	if p := b.page(proto.ID{}, ch(4)); len(p.Messages) != 1 || !testkit.Equal(p.Messages[0].Receivers, []channel.ID{ch(4), ch(2)}) {
		b.Errorf("a message names a closed receiver: %v", p.Messages)
	}
	if p := b.page(proto.ID{}, ch(4)); p.Messages[0].Sender != some.Sender {
		b.Errorf("a message that lost a receiver is from %v", p.Messages[0].Sender)
	}
	if receipts := b.append(msg(time.Hour, "none", ch(1))); !receipts[0].ID.IsZero() {
		b.Errorf("receipts %+v", receipts)
	}

	b.Advance(6 * time.Hour)
	if r := b.append(msg(0, "t", ch(3)))[0]; !r.ID.IsZero() || len(r.Closed) != 1 {
		b.Errorf("a channel of transient messages stays open: %+v", r)
	}
	b.Advance(8 * time.Hour)
	if r := b.append(msg(time.Hour, "none", ch(1)))[0]; !r.ID.IsZero() {
		b.Errorf("a channel is new a day after its first message: %+v", r)
	}
	// The life of a list has passed since the last message that got through: the channel is a new
	// one.
	b.Advance(16 * time.Hour)
	b.post(time.Hour, "new", ch(1))
}

func (b *bench) presence(edge string, changes []proto.Presence, replace, wantKept bool) {
	b.Helper()
	moved, kept, err := b.Log.SetPresence(b.Context(), edge, changes, replace)
	if err != nil || kept != wantKept || len(moved) > 0 {
		b.Errorf("presence of %s: moved %v, kept %v, %v", edge, moved, kept, err)
	}
}

func (b *bench) online(want []int, channels ...channel.ID) {
	b.Helper()
	got, err := b.Log.Online(b.Context(), channels)
	if err != nil || !testkit.Equal(got, want) {
		b.Errorf("online %v, %v; want %v", got, err, want)
	}
}

func presenceCase(b *bench) {
	at := func(n byte, sessions int) proto.Presence { return proto.Presence{Channel: ch(n), Sessions: sessions} }
	b.online([]int{0, 0}, ch(1), ch(2))
	b.online([]int{})
	b.presence("e1", []proto.Presence{at(1, 1)}, false, false) // there is nothing to change
	b.online([]int{0}, ch(1))
	b.presence("e1", nil, true, true)
	b.presence("e1", []proto.Presence{at(1, 2), at(2, 1)}, false, true)
	b.presence("e2", []proto.Presence{at(1, 5)}, true, true)
	b.online([]int{0, 1, 7, 7}, ch(3), ch(2), ch(1), ch(1))
	b.presence("e1", []proto.Presence{at(1, 1), at(2, 0)}, false, true)
	b.online([]int{6, 0}, ch(1), ch(2))

	b.Advance(10 * time.Second)
	b.presence("e2", nil, false, true) // renews
	b.Advance(10 * time.Second)
	b.online([]int{5}, ch(1))
	b.presence("e1", []proto.Presence{at(1, 1)}, false, false)
	b.presence("e1", []proto.Presence{at(1, 1)}, true, true)
	b.online([]int{6}, ch(1))
	b.presence("e1", []proto.Presence{at(2, 1)}, true, true) // replaces what was before
	b.online([]int{5, 1}, ch(1), ch(2))
	b.presence("e2", nil, true, true) // how an edge leaves
	b.online([]int{0, 1}, ch(1), ch(2))

	b.online([]int{}) // an empty question, which asks whether the log answers

	b.Flush()
	b.presence("e1", []proto.Presence{at(2, 1)}, false, false)
	b.online([]int{0}, ch(2))
}

func statsCase(b *bench) {
	want := func(want ...proto.Process) {
		b.Helper()
		got, err := b.Stats.Processes(b.Context())
		if err != nil || len(got) != len(want) || len(want) > 0 && !testkit.Equal(got, want) {
			b.Errorf("processes %+v, %v; want %+v", got, err, want)
		}
	}
	put := func(p proto.Process) {
		b.Helper()
		if err := b.Stats.PutProcess(b.Context(), p); err != nil {
			b.Error(err)
		}
	}
	one := proto.Process{
		ProcessStats: proto.ProcessStats{PID: 1, Date: 1_795_000_000_123, ID: "one", Numbers: proto.Numbers{
			Channels: 10, Limits: proto.StatsLimits{Payload: 1 << 20, Connections: 100, Messages: 101, Channels: 102}, Cluster: true,
			WebSockets: 3, Polls: 2,
			Daily: proto.Daily{Requests: proto.Counts{"incomingMessages": 1 << 40}, Messages: proto.Counts{"im_message": 7, "*": 1}},
		}},
		Portals: map[string]proto.Numbers{
			"one of them": {Channels: 4, WebSockets: 1, Daily: proto.Daily{Messages: proto.Counts{"im_message": 7}}},
			"another":     {Channels: 6, WebSockets: 2, Polls: 2, Limits: proto.StatsLimits{Payload: 1}},
		},
	}
	two := proto.Process{ProcessStats: proto.ProcessStats{PID: 2, ID: "two"}}
	want()
	put(two)
	put(one)
	want(one, two)
	b.Advance(20 * time.Second)
	one.WebSockets++
	put(one)
	want(one, two)
	b.Advance(20 * time.Second)
	want(one)
	if err := b.Stats.DropProcess(b.Context(), "one"); err != nil {
		b.Error(err)
	}
	if err := b.Stats.DropProcess(b.Context(), "none"); err != nil {
		b.Error(err)
	}
	want()
}
