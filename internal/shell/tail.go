package shell

import (
	"context"
	"sync"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/hub"
	"pushgate/internal/proto"
)

// Log is the part of a portal's log that is read.
type Log interface {
	hub.Log
	History(ctx context.Context, channels []channel.ID, after proto.ID) (proto.Page, error)
	Follow(ctx context.Context, f proto.Follower) error
}

// Tail reads what the log holds for channels, and follows it. It is no subscriber: nobody counts as
// online because of it, and no edge is needed.
type Tail struct {
	Log      Log
	Channels []channel.ID
	After    proto.ID  // begin after this id
	Since    time.Time // of what the log holds, leave out what is older
	// Of what the log holds, print only the newest; at most [MaxLast]; 0: none, negative: all.
	Last  int
	Once  bool // do not follow
	Body  bool // show the bodies
	Print func([]Message) error
	Note  func(format string, args ...any) // called with what happens to the subscription
}

const (
	// MaxLast is the largest Last of a [Tail].
	MaxLast = 10_000
	// maxKept bounds the bodies that are kept until it is known which messages are the newest.
	maxKept = 64 << 20
)

// Run prints what the log holds and then, until ctx ends, what comes. It returns nil if ctx ends,
// and else an error of Print, or of the log if its history cannot be read. While it follows, it
// waits for a log that is away.
func (t *Tail) Run(ctx context.Context) error {
	through, err := t.history(ctx)
	if err != nil || t.Once || ctx.Err() != nil {
		return err
	}
	return t.follow(ctx, through)
}

// history prints what the log holds. It returns the id up to which that is.
func (t *Tail) history(ctx context.Context) (through proto.ID, err error) {
	newest := kept{last: t.Last}
	through = t.After
	for more := t.Last != 0; more && ctx.Err() == nil; {
		page, err := t.Log.History(ctx, t.Channels, through)
		if err != nil {
			return through, err
		}
		if page.Gap() && !t.After.IsZero() && through == t.After {
			noteGap(t.Note, through.String(), page.Lost.String())
		}
		messages := t.messages(page.Messages, t.Since)
		if t.Last >= 0 {
			newest.add(messages)
		} else if err := t.Print(messages); err != nil {
			return through, err
		}
		// Without progress the log does not keep its word, and the same page would come for ever.
		more = page.More && page.Through != through
		through = page.Through
	}
	if newest.dropped {
		t.Note("the newest %d messages only: more bodies than %d MiB are not kept", len(newest.messages), maxKept>>20)
	}
	return through, t.Print(newest.messages)
}

// kept holds the newest messages.
type kept struct {
	last     int
	messages []Message
	bytes    int
	dropped  bool // some for want of room
}

func (k *kept) add(messages []Message) {
	for _, m := range messages {
		k.messages = append(k.messages, m)
		k.bytes += len(m.Body)
		for len(k.messages) > k.last || k.bytes > maxKept && len(k.messages) > 1 {
			k.dropped = k.dropped || len(k.messages) <= k.last
			k.bytes -= len(k.messages[0].Body)
			k.messages[0] = Message{}
			k.messages = k.messages[1:]
		}
	}
}

// follow prints what comes after an id, by the same session that an edge has for a subscriber.
func (t *Tail) follow(ctx context.Context, through proto.ID) error {
	ctx, end := context.WithCancel(ctx)
	h := hub.New(t.Log, hub.Config{})
	defer h.Close()
	var following sync.WaitGroup
	defer following.Wait()
	defer end()
	due := make(chan struct{}, 1)
	cursor := &through
	if t.Last == 0 { // nothing was read: what comes from now on
		cursor = nil
	}
	session := h.Attach(t.Channels, cursor, func() {
		select {
		case due <- struct{}{}:
		default:
		}
	})
	defer session.Detach()
	// The error is that of ctx.
	following.Go(func() { _ = t.Log.Follow(ctx, &follower{Hub: h, note: t.Note}) })
	for {
		for ctx.Err() == nil {
			batch := session.Next()
			if batch.Gap != nil && !batch.Gap.After.IsZero() {
				noteGap(t.Note, batch.Gap.After.String(), batch.Gap.Before.String())
			}
			if len(batch.Messages) == 0 && batch.Gap == nil && !batch.Nudged {
				break
			}
			if err := t.Print(t.messages(batch.Messages, time.Time{})); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-due:
		}
	}
}

// follower passes notifications on to a hub, and notes when they stop.
type follower struct {
	*hub.Hub
	note func(format string, args ...any)
}

// Down implements [proto.Follower].
func (f *follower) Down(err error) {
	f.note("Redis does not notify: %s; what comes meanwhile is read later", Clean(err.Error()))
	f.Hub.Down(err)
}

// Resync implements [proto.Follower].
func (f *follower) Resync(head proto.ID) {
	f.note("following, the newest id of the portal is %v", head)
	f.Hub.Resync(head)
}

// messages returns what is printed of messages that are not older than a time.
func (t *Tail) messages(all []*proto.Message, since time.Time) []Message {
	now := time.Now()
	printed := make([]Message, 0, len(all))
	for _, m := range all {
		if m.Created.Before(since) {
			continue
		}
		whole := m.TTL // a pointer into m would keep its body
		left := min(whole, max(0, m.Created.Add(whole).Sub(now)))
		p := Message{Time: m.Created, MID: m.ID.String(), Type: m.Type, Channel: "-", Sender: portalSender, Size: len(m.Body), Life: &whole, Left: &left}
		if m.Sender.Type == proto.SenderClient {
			p.Sender = clientSender(m.Sender.Name())
		}
		if via := m.Via(t.Channels); via >= 0 {
			p.Channel = label(m.Receivers[via])
		}
		if t.Body {
			p.Body = m.Body
		}
		printed = append(printed, p)
	}
	return printed
}
