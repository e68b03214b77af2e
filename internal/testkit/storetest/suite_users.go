package storetest

import (
	"slices"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// here returns a user's presence.
func here(user int64, sessions int) proto.Presence {
	return proto.Presence{Channel: channel.ForUser(user), Sessions: sessions}
}

// moves changes a presence, and checks that exactly these users come online or, with a minus, go
// offline.
func (b *bench) moves(edge string, replace bool, changes []proto.Presence, want ...int64) {
	b.Helper()
	moved, kept, err := b.Log.SetPresence(b.Context(), edge, changes, replace)
	if err != nil || !kept {
		b.Fatalf("presence of %s: kept %v, %v", edge, kept, err)
	}
	var got []int64
	for _, s := range moved {
		if !s.Online {
			s.User = -s.User
		}
		got = append(got, s.User)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		b.Errorf("%v moved, want %v", got, want)
	}
}

func usersCase(b *bench) {
	b.moves("e1", true, nil)
	b.moves("e1", false, []proto.Presence{here(5, 1), here(1<<40, 2), {Channel: ch(1), Sessions: 1}, {Channel: channel.StatusOf(7), Sessions: 1}}, 5, 1<<40)
	b.moves("e1", false, []proto.Presence{here(5, 3)})
	b.moves("e2", true, []proto.Presence{here(5, 1), here(6, 1)}, 6)
	b.moves("e1", false, []proto.Presence{here(5, 0), here(8, 0)})
	b.moves("e2", false, []proto.Presence{here(5, 0)}, -5)
	b.moves("e2", false, []proto.Presence{here(5, 1)}, 5)

	// Only the users who were added or removed.
	b.moves("e2", true, []proto.Presence{here(7, 1), here(5, 2)}, -6, 7)
	b.moves("e1", true, []proto.Presence{here(5, 1), here(1<<40, 1)})
	// This is how an edge leaves. User 5 is also at the other edge.
	b.moves("e1", true, nil, -(1 << 40))
	b.Advance(20 * time.Second)                              // the lease of the other edge ends
	b.moves("e1", true, []proto.Presence{here(5, 1)}, 5, -7) // of the other edge
	b.online([]int{1, 0}, channel.ForUser(5), channel.ForUser(7))
	b.moves("e1", false, nil) // only once

	b.moves("e2", true, []proto.Presence{here(9, 1)}, 9)
	b.Advance(10 * time.Second)
	b.moves("e1", false, nil)
	b.Advance(10 * time.Second)
	b.moves("e2", true, []proto.Presence{here(9, 1)}) // a pause that no other edge has noticed
	b.Advance(10 * time.Second)
	b.moves("e2", false, nil, -5) // the lease of the other edge has ended
}

func manyUsersCase(b *bench) {
	const n = 4500
	all := make([]proto.Presence, n)
	var users, gone []int64
	for i := range all {
		all[i] = here(int64(i+1), 1)
		users = append(users, int64(i+1))
	}
	b.moves("e", true, all, users...)
	b.moves("e", true, all)
	for i := range 10 {
		gone = append(gone, -int64(i+1))
	}
	b.moves("e", true, all[10:], gone...)
}

func seenCase(b *bench) {
	users := []int64{1, 2, 3, 1 << 40}
	began := time.Now()
	ages := func(want ...int) { // seconds; -1 is never
		b.Helper()
		sessions, times, err := b.Log.LastSeen(b.Context(), users)
		if err != nil {
			b.Fatal(err)
		}
		channels := make([]channel.ID, len(users))
		for i, user := range users {
			channels[i] = channel.ForUser(user)
		}
		b.online(sessions, channels...)
		now := b.Now()
		got := make([]int, len(times))
		for i, at := range times {
			got[i] = -1
			if !at.IsZero() {
				got[i] = int(now.Sub(at).Round(time.Second) / time.Second)
			}
		}
		slack := 2 + int(time.Since(began)/time.Second) // a real log's clock runs on
		if !slices.EqualFunc(got, want, func(x, y int) bool { return max(x-y, y-x) <= slack && (x < 0) == (y < 0) }) {
			b.Errorf("last seen %v ago, want %v", got, want)
		}
	}
	ages(-1, -1, -1, -1)
	b.moves("e", true, []proto.Presence{here(1, 1), here(1<<40, 1)}, 1, 1<<40)
	ages(0, -1, -1, 0)
	b.Advance(10 * time.Second)
	b.moves("e", false, []proto.Presence{here(1, 0)}, -1)
	b.Advance(time.Hour)
	ages(3600, -1, -1, 3610)
	set := func(seen ...proto.Seen) {
		b.Helper()
		if err := b.Log.SetSeen(b.Context(), seen...); err != nil {
			b.Fatal(err)
		}
	}
	set()
	set(proto.Seen{User: 1, At: b.Now().Add(-2 * time.Hour)}, // known better
		proto.Seen{User: 2, At: b.Now().Add(-time.Minute)},
		proto.Seen{User: 3, At: b.Now().Add(time.Hour)}) // of a wrong clock
	ages(3600, 60, 0, 3610)
	b.Advance(29*24*time.Hour + 22*time.Hour + 58*time.Minute)
	set(proto.Seen{User: 2, At: b.Now()})
	ages(30*86400-120, 0, 30*86400-3720, 30*86400-110)
	b.Advance(3 * time.Minute)
	set(proto.Seen{User: 2, At: b.Now()})
	ages(-1, 0, 30*86400-3540, -1)
	if _, times, err := b.Log.LastSeen(b.Context(), nil); err != nil || len(times) != 0 {
		b.Error(times, err)
	}
}
