package edge

import (
	"context"
	"slices"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

const (
	presenceStep  = 200 * time.Millisecond // how long a change may wait for others to travel with it
	presenceRenew = 5 * time.Second        // how often the lease is renewed if nothing changes
	presenceGrace = 5 * time.Second        // how long a channel without a session stays: a page change, or a poll's next request
)

// keepPresence writes which channels have sessions here, until ctx ends.
func (t *tenant) keepPresence(ctx context.Context) {
	e := t.edge
	leaving := make(map[channel.ID]time.Time) // when a channel that has no session any more is taken off
	replace := true
	written := time.Now()
	for wait(ctx, presenceStep) == nil {
		now := time.Now()
		var whole []proto.Presence
		if replace {
			whole = t.hub.Presence() // before the changes are taken, which are newer
		}
		changes := t.presenceChanges(now, leaving)
		if len(changes) == 0 && !replace && now.Sub(written) < presenceRenew {
			continue
		}
		if replace {
			changes = withGrace(whole, changes, leaving)
		}
		moved, kept, err := t.log.SetPresence(ctx, e.config.ID, changes, replace)
		t.announce(ctx, moved)
		if err != nil && ctx.Err() == nil {
			e.metrics.presenceErrors.Inc()
			e.logger.Warn("presence not written", "error", err)
		}
		// Whatever is not known to be there is written anew, whole; but not at the pace of single changes.
		replace = err != nil || !kept && !replace
		written = now
		if err != nil && wait(ctx, time.Second) != nil {
			break
		}
	}
	if e.successor.Load() != nil {
		return // the lease will take it away, when the successor has told of the same sessions: nobody is seen to leave
	}
	e.lastWord(ctx, func(ctx context.Context) error {
		moved, _, err := t.log.SetPresence(ctx, e.config.ID, nil, true)
		t.announce(ctx, moved)
		return err
	})
}

// withGrace returns all that is to be on record: the channels that have sessions, with newer changes, and those that have none any more and
// stay for their grace.
func withGrace(whole, changes []proto.Presence, leaving map[channel.ID]time.Time) []proto.Presence {
	sessions := make(map[channel.ID]int, len(whole)+len(leaving))
	for _, p := range slices.Concat(whole, changes) {
		sessions[p.Channel] = p.Sessions
	}
	for id := range leaving {
		sessions[id] = 1
	}
	all := make([]proto.Presence, 0, len(sessions))
	for id, n := range sessions {
		if n > 0 {
			all = append(all, proto.Presence{Channel: id, Sessions: n})
		}
	}
	return all
}

// presenceChanges gives what is to be written now, and holds back for a while what lost its last session.
func (t *tenant) presenceChanges(now time.Time, leaving map[channel.ID]time.Time) []proto.Presence {
	changes := t.hub.TakeChanges()
	due := changes[:0]
	for _, p := range changes {
		if p.Sessions == 0 {
			leaving[p.Channel] = now.Add(presenceGrace)
			continue
		}
		delete(leaving, p.Channel)
		due = append(due, p)
	}
	for id, end := range leaving {
		if now.After(end) {
			delete(leaving, id)
			due = append(due, proto.Presence{Channel: id})
		}
	}
	return due
}
