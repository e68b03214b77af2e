package edge

import (
	"context"
	"slices"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

const (
	presenceStep  = 200 * time.Millisecond // between two writes
	presenceRenew = 5 * time.Second        // how often the lease is renewed if nothing changes

	// presenceGrace is how long a channel without a session stays: a page may be changing, or a
	// poll about to send its next request.
	presenceGrace = 5 * time.Second
)

// keepPresence writes which channels have sessions here, until ctx ends.
func (t *tenant) keepPresence(ctx context.Context) {
	e := t.edge
	leaving := make(map[channel.ID]time.Time) // when a channel without a session is removed
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
			e.logger.Warn("writing presence failed", "error", err)
		}
		// After an error it is unknown what is recorded: write all of it again, but not as often as
		// single changes.
		replace = err != nil || !kept && !replace
		written = now
		if err != nil && wait(ctx, time.Second) != nil {
			break
		}
	}
	if e.successor.Load() != nil {
		// The lease removes it later. By then the successor has recorded the same sessions, so no
		// user goes offline.
		return
	}
	e.deregister(ctx, func(ctx context.Context) error {
		moved, _, err := t.log.SetPresence(ctx, e.config.ID, nil, true)
		t.announce(ctx, moved)
		return err
	})
}

// withGrace returns everything that is to be recorded: the channels that have sessions, with newer
// changes, and those in their grace.
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

// presenceChanges returns what is to be written now. A channel that lost its last session is
// written after its grace.
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
