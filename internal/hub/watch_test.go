package hub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// TestWatch makes sessions watch and unwatch channels at random, and compares the hub's watchers
// with those of a plain map.
func TestWatch(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		h := New(nil, Config{})
		h.Resync(proto.ID{Epoch: 1})
		base := func(n int) channel.ID { return channel.FromBytes([16]byte{byte(n), 1}) }
		sessions := make([]*Session, 5)
		want := make([]map[channel.ID]bool, len(sessions))
		for i := range sessions {
			sessions[i] = h.Attach([]channel.ID{base(i), base(100)}, nil, func() {})
			want[i] = map[channel.ID]bool{base(i): true, base(100): true}
		}
		id := proto.ID{Epoch: 1}
		for step := range 300 {
			i, ch := rnd.IntN(len(sessions)), channel.StatusOf(1+rnd.Int64N(6))
			switch rnd.IntN(6) {
			case 0, 1:
				sessions[i].Watch(ch)
				if want[i] != nil {
					want[i][ch] = true
				}
			case 2, 3:
				sessions[i].Unwatch(ch)
				delete(want[i], ch)
			case 4:
				sessions[i].Unwatch(base(100)) // which it was attached with, and keeps
			case 5:
				if step%50 == 0 && want[i] != nil {
					sessions[i].Detach()
					want[i] = nil
				}
			}
			id.Sequence++
			target := []channel.ID{ch, base(100), base(i)}[rnd.IntN(3)]
			h.Dispatch(&proto.Message{ID: id, Receivers: []channel.ID{target}, Received: time.Now()})
			for j, s := range sessions {
				if want[j] == nil {
					continue
				}
				if got := len(s.Next().Messages) > 0; got != want[j][target] {
					t.Fatalf("seed %d, step %d: session %d got %t, want %t", seed, step, j, got, want[j][target])
				}
			}
		}
		var got []string
		for _, p := range h.Presence() {
			got = append(got, fmt.Sprint(p.Channel, p.Sessions))
		}
		counts := map[channel.ID]int{}
		for _, all := range want {
			for id := range all {
				counts[id]++
			}
		}
		var wanted []string
		for id, n := range counts {
			wanted = append(wanted, fmt.Sprint(id, n))
		}
		slices.Sort(got)
		slices.Sort(wanted)
		if !slices.Equal(got, wanted) {
			t.Fatalf("seed %d: presence %v, want %v", seed, got, wanted)
		}
	}
}
