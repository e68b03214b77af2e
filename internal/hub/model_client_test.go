package hub

import (
	"context"
	"slices"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// client is a subscriber that comes back for ever with the last id that it saw.
type client struct {
	model    *model
	channels []channel.ID
	patience time.Duration // most time of one connection
	last     *proto.ID
	had      []*proto.Message // notes too
	gaps     []modelGap
}

// modelGap is a gap that a client got.
type modelGap struct{ Gap }

func (g modelGap) covers(id proto.ID) bool { return id.After(g.After) && g.Before.Compare(id) >= 0 }

// live connects again and again, and one last time when done is closed, to fetch the rest.
func (c *client) live(ctx context.Context, done <-chan struct{}) {
	for {
		select {
		case <-done:
			c.connect(ctx, 2*time.Second)
			return
		default:
		}
		if c.last == nil {
			// A client that has not seen an id begins at the head: it need not get what is
			// published while it is away.
			c.connect(ctx, time.Hour)
			continue
		}
		c.connect(ctx, time.Duration(1+c.model.n(int(c.patience))))
		c.model.pause(20 * time.Millisecond)
	}
}

// connect is one connection: a session and a reader that may be slow. It ends after lifetime, or,
// if the client had not seen an id before, when it has seen one.
func (c *client) connect(ctx context.Context, lifetime time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, lifetime)
	defer cancel()
	fresh := c.last == nil
	wake := make(chan struct{}, 1)
	attach := func(cursor *proto.ID) *Session {
		return c.model.edges[c.model.n(2)].Attach(c.channels, cursor, func() {
			// Others go on while a hub wakes its sessions, one after another.
			c.model.dawdle()
			wake <- struct{}{}
			c.model.dawdle()
		})
	}
	s := attach(c.last)
	defer func() { s.Detach() }()
	slow := c.model.n(3) == 0
	pinged := c.model.n(4) == 0 // is nudged, whether the log is being read for it or not
	for {
		batch := s.Next()
		if batch.Nudged {
			continue
		}
		messages := slices.Clone(batch.Messages)
		if gap := batch.Gap; gap != nil {
			c.gaps = append(c.gaps, modelGap{*gap})
			messages = slices.Insert(messages, gap.Index, &proto.Message{ID: gap.ID, Receivers: c.channels})
		}
		for _, m := range messages {
			c.had = append(c.had, m)
			c.last = &m.ID
		}
		if fresh && len(messages) > 0 {
			return
		}
		if len(messages) > 0 {
			if slow {
				c.model.pause(20 * time.Millisecond)
			}
			if c.model.n(2) == 0 || !s.Rest() {
				continue
			}
		}
		for rests := true; rests; {
			select {
			case <-wake:
				rests = false
			case <-ctx.Done():
				return
			case <-time.After(time.Duration(c.model.n(int(2 * time.Millisecond)))):
				if pinged && c.model.n(4) == 0 {
					s.Nudge()
					continue
				}
				if through, ok := s.Claim(); ok { // the connection is handed over
					s.Detach()
					c.model.dawdle()
					s, rests = attach(&through), false
				}
			}
		}
	}
}
