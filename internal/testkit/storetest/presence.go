package storetest

import (
	"context"
	"maps"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/store"
)

// SetPresence does the same as [store.Log.SetPresence].
func (m *Memory) SetPresence(ctx context.Context, edge string, changes []proto.Presence, replace bool) (moved []proto.Status, kept bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fault(ctx); err != nil {
		return nil, false, err
	}
	now := m.now()
	p := m.presence[edge]
	alive := p != nil && now.Before(p.ends)
	if !alive && !replace {
		return nil, false, nil
	}
	before := make(map[channel.ID]int)
	if p != nil && now.Before(p.ends.Add(store.PresenceRemains)) {
		maps.Copy(before, p.sessions)
	}
	if replace {
		p = &presence{sessions: make(map[channel.ID]int)}
		m.presence[edge] = p
	}
	for _, change := range changes {
		if change.Sessions == 0 {
			delete(p.sessions, change.Channel)
		} else {
			p.sessions[change.Channel] = change.Sessions
		}
	}
	p.ends = now.Add(store.PresenceLease)
	for _, change := range changes {
		moved = m.note(moved, edge, change.Channel, before[change.Channel] > 0, now)
		delete(before, change.Channel)
	}
	if replace {
		for id := range before {
			moved = m.note(moved, edge, id, true, now)
		}
	}
	return m.bury(moved, now), true, nil
}

// bury removes the presence of edges whose lease is over, and appends the users that are offline
// because of it. m.mu is held.
func (m *Memory) bury(moved []proto.Status, now time.Time) []proto.Status {
	for dead, p := range m.presence {
		if now.Before(p.ends) {
			continue
		}
		left := p.sessions
		p.sessions = nil
		if now.Before(p.ends.Add(store.PresenceRemains)) {
			for id := range left {
				moved = m.note(moved, dead, id, true, now)
			}
		}
		delete(m.presence, dead)
	}
	return moved
}

// note appends the new status of a user whose sessions at an edge began or ended, unless the user
// has sessions at another edge. m.mu is held.
func (m *Memory) note(moved []proto.Status, edge string, id channel.ID, before bool, now time.Time) []proto.Status {
	user, ok := id.User()
	after := m.presence[edge].sessions[id] > 0
	if !ok || before == after {
		return moved
	}
	for name, p := range m.presence {
		if name != edge && now.Before(p.ends) && p.sessions[id] > 0 {
			return moved
		}
	}
	m.see(user, now, now)
	return append(moved, proto.Status{User: user, Online: after})
}

// see records that a user was seen. m.mu is held.
func (m *Memory) see(user int64, at, now time.Time) {
	if at.After(now) {
		at = now
	}
	if at = at.Truncate(time.Second); at.After(m.seen[user]) {
		m.seen[user] = at
	}
	maps.DeleteFunc(m.seen, func(_ int64, at time.Time) bool { return now.Sub(at) >= store.SeenLife+time.Second })
}

// LastSeen does the same as [store.Log.LastSeen].
func (m *Memory) LastSeen(ctx context.Context, users []int64) ([]int, []time.Time, error) {
	channels := make([]channel.ID, len(users))
	for i, user := range users {
		channels[i] = channel.ForUser(user)
	}
	sessions, err := m.Online(ctx, channels)
	if err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	times := make([]time.Time, len(users))
	for i, user := range users {
		times[i] = m.seen[user]
	}
	return sessions, times, nil
}

// SetSeen does the same as [store.Log.SetSeen].
func (m *Memory) SetSeen(ctx context.Context, seen ...proto.Seen) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fault(ctx); err != nil {
		return err
	}
	now := m.now()
	for _, s := range seen {
		m.see(s.User, s.At, now)
	}
	return nil
}
