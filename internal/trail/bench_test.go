package trail

import (
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
)

var alice, bob = testkit.Channel(1), testkit.Channel(2)

func message(sequence uint64, receivers ...channel.ID) *proto.Message {
	now := time.Now()
	return &proto.Message{ID: proto.ID{Epoch: 1_700_000_000, Sequence: sequence}, Receivers: receivers, Type: "im_message", TTL: 24 * time.Hour, Created: now, Received: now}
}

// report says how many bytes a record takes, and how far the rings reach back at 100 a second.
func report(b *testing.B, r *Ring) {
	if len(r.chunks) > 1 {
		n := 0
		r.Each(func(int64, []uint64) { n++ })
		b.ReportMetric(float64(r.Bytes())/float64(n), "B/record")
	}
}

func BenchmarkNotePost(b *testing.B) {
	p := NewPosts(8<<20, nil)
	msgs, receipts := []*proto.Message{message(0, alice)}, make([]proto.Receipt, 1)
	b.ReportAllocs()
	for b.Loop() {
		msgs[0].ID.Sequence++
		receipts[0].ID = msgs[0].ID
		p.Note("default", msgs, receipts, nil)
	}
	report(b, p.ring)
}

func BenchmarkHeard(b *testing.B) {
	e := NewEdge(8<<20, nil)
	h := e.Heard("default")
	m := message(0, alice)
	b.ReportAllocs()
	for b.Loop() { // a message a millisecond
		m.ID.Sequence++
		m.Received = m.Received.Add(time.Millisecond)
		h.Note(m)
	}
	report(b, e.heard)
}

func BenchmarkNoteEvent(b *testing.B) {
	e := NewEdge(8<<20, nil)
	v := Event{Kind: Late, Session: 12345, At: time.Now().UnixMicro(), After: message(100_000).ID, Through: message(100_003).ID}
	b.ReportAllocs()
	for b.Loop() {
		v.At += 100
		e.Note(v)
	}
	report(b, e.writes)
}

func BenchmarkSession(b *testing.B) {
	e := NewEdge(8<<20, nil)
	channels := []channel.ID{alice, bob}
	b.ReportAllocs()
	for b.Loop() {
		s := e.Begin("default", channels, false, nil)
		id := message(100_000).ID
		e.End(s, Past{Number: s.Number, Portal: "default", Kind: "websocket", Channels: MarksOf(channels), Began: s.Began, Ended: s.Began + 1e7, Reason: "client_closed", From: id, Sent: id, Returned: id})
	}
	report(b, e.ended)
}

func BenchmarkPoll(b *testing.B) {
	e := NewEdge(8<<20, nil)
	channels := []channel.ID{alice, bob}
	id := message(1).ID
	b.ReportAllocs()
	for b.Loop() {
		s := e.Begin("default", channels, true, &id)
		p := Past{Number: s.Number, Portal: "default", Kind: "longpoll", Channels: MarksOf(channels), Ended: s.Began, From: id, Sent: id, Returned: id}
		e.End(s, p)
	}
}

// Finding a message in a full ring.
func BenchmarkFind(b *testing.B) {
	p := NewPosts(8<<20, nil)
	m := message(0, alice)
	for p.ring.dropped == 0 {
		m.ID.Sequence++
		p.Note("default", []*proto.Message{m}, []proto.Receipt{{ID: m.ID}}, nil)
	}
	for b.Loop() {
		if len(p.Find("default", m.ID, nil, 10)) != 1 {
			b.Fatal("not found")
		}
	}
}
