package hub

import (
	"context"
	"testing"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// BenchmarkNext measures Next when nothing is due, one message, a full inbox, or a page of the log.
func BenchmarkNext(b *testing.B) {
	turn := func(b *testing.B, s *Session, messages int) {
		if batch := next(s); len(batch.Messages) != messages {
			b.Fatal(len(batch.Messages))
		}
	}
	b.Run("nothing", func(b *testing.B) {
		h := New(noLog(b), Config{})
		h.Resync(proto.ID{})
		s := h.Attach([]channel.ID{alice}, nil, func() {})
		b.ReportAllocs()
		for b.Loop() {
			turn(b, s, 0)
		}
	})
	for _, bench := range []struct {
		name     string
		messages int
	}{{"one", 1}, {"inbox of 20", 20}} {
		b.Run(bench.name, func(b *testing.B) {
			h := New(noLog(b), Config{})
			h.Resync(proto.ID{})
			s := h.Attach([]channel.ID{alice}, nil, func() {})
			messages := row(bench.messages)
			b.ReportAllocs()
			for b.Loop() {
				// Measured too: it is too short to be worth stopping the clock.
				for _, m := range messages {
					m.ID.Sequence += uint64(bench.messages)
					h.Dispatch(m)
				}
				turn(b, s, bench.messages)
			}
		})
	}
	b.Run("page of 100", func(b *testing.B) {
		page := row(100)
		h := New(logFunc(func(context.Context, []channel.ID, proto.ID) (proto.Page, error) {
			for _, m := range page {
				m.ID.Sequence += uint64(len(page))
			}
			newest := page[len(page)-1].ID
			return proto.Page{Messages: page, Through: newest, Head: newest}, nil
		}), Config{})
		h.Resync(id(0))
		s := h.Attach([]channel.ID{alice}, nil, func() {})
		b.ReportAllocs()
		for b.Loop() {
			h.Resync(id(0)) // which makes the inbox stale
			turn(b, s, len(page))
		}
	})
}

// row returns n consecutive messages.
func row(n int) []*proto.Message {
	messages := make([]*proto.Message, n)
	for i := range messages {
		messages[i] = message(i+1, alice)
	}
	return messages
}
