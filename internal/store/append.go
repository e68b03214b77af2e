package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// What one call of the script takes at most, unless a single Append alone is more. A call that runs for long keeps everybody
// else waiting for Redis.
const (
	maxBatch      = 256
	maxBatchBytes = 1 << 20
)

// Append puts messages into the log, in their order and without another message between two of them, and notifies of them. Either
// all of it is done or nothing. Their ids are in the receipts; messages themselves are not changed. Receivers must be
// distinct. A message with a key that was appended within KeyLife is not appended again: its receipt is that of the first one.
//
// It returns by the deadline of ctx, or within Config.Timeout if ctx has none. A round trip to Redis
// takes Config.Timeout at most. An error does not say that nothing was done: an answer may have been
// lost on its way. Appends that come while Redis is busy with others share the next round trip, which
// lasts until the latest of their deadlines; each of them returns by its own. An append whose
// goroutine is on a round trip does not return when ctx is cancelled. Messages that replicas must
// have, as Config.Replicas says, wait for them alone.
func (l *Log) Append(ctx context.Context, msgs ...*proto.Message) ([]proto.Receipt, error) {
	limit := time.Now().Add(l.cfg.Timeout)
	p, err := newPost(msgs)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		p.deadline = limit
		if own, ok := ctx.Deadline(); ok {
			p.deadline = own
		}
		err = l.enqueue(ctx, p)
	}
	if err == nil {
		err = l.confirm(ctx, limit, msgs, p.receipts)
	}
	if err != nil {
		return nil, fmt.Errorf("append to portal %q: %w", l.portal, err)
	}
	return p.receipts, nil
}

// post is one Append on its way. It belongs to its caller until it stands in the line, then to whoever leads the line, and to its
// caller again once turn has said so.
type post struct {
	msgs     []*proto.Message // the caller's; replaced by copies where channels are closed
	args     []any            // what the script takes of them: four for each message
	keyed    bool             // a message has a key
	bytes    int
	deadline time.Time // when its Append returns at the latest
	receipts []proto.Receipt
	err      error

	turn chan turn // of capacity 1; gets one value at most
}

// turn is what a waiting post is told.
type turn int

const (
	done turn = iota // it has its receipts or its error
	lead             // it stands first in the line, which is free
)

const argsPerMessage = 4

func newPost(msgs []*proto.Message) (*post, error) {
	p := &post{
		msgs:     msgs,
		args:     make([]any, 0, argsPerMessage*len(msgs)),
		receipts: make([]proto.Receipt, len(msgs)),
		turn:     make(chan turn, 1),
	}
	for i, m := range msgs {
		if err := Check(m); err != nil {
			return nil, fmt.Errorf("message %d of %d: %w", i+1, len(msgs), err)
		}
		p.encode(m)
	}
	return p, nil
}

// Check reports why the log would not take a message: no receivers or too many, or a life, key, type or body beyond the limits of proto.
func Check(m *proto.Message) error {
	switch {
	case len(m.Receivers) == 0 || len(m.Receivers) > proto.MaxReceivers:
		return fmt.Errorf("%d receivers", len(m.Receivers))
	case slices.ContainsFunc(m.Receivers, channel.ID.IsZero):
		return fmt.Errorf("a receiver that is no channel")
	case m.TTL < 0 || m.TTL > proto.MaxTTL:
		return fmt.Errorf("a life of %v", m.TTL)
	case len(m.Key) > proto.MaxKey:
		return fmt.Errorf("a key of %d bytes", len(m.Key))
	case len(m.Type) > proto.MaxType:
		return fmt.Errorf("a type of %d bytes", len(m.Type))
	case m.Size() > proto.MaxBody:
		return fmt.Errorf("a body of %d bytes", m.Size())
	case len(m.UserParams) > proto.MaxUserParams:
		return fmt.Errorf("params of %d users", len(m.UserParams))
	}
	return nil
}

func (p *post) encode(m *proto.Message) {
	names := len(m.Receivers) * channel.IDLen
	b := make([]byte, 0, names+len(m.Type)+m.Size()+len(m.Receivers)*channel.IDLen+64)
	for _, id := range m.Receivers {
		b, _ = id.AppendText(b)
	}
	b = proto.AppendRecord(b, m)
	p.args = append(p.args, m.TTL.Milliseconds(), b[:names:names], b[names:], m.Key)
	p.keyed = p.keyed || m.Key != ""
	p.bytes += len(b)
}

// enqueue queues p and returns when p is done, or when ctx ends while another goroutine works for p.
func (l *Log) enqueue(ctx context.Context, p *post) error {
	if len(p.msgs) == 0 {
		return nil
	}
	l.mu.Lock()
	l.line = append(l.line, p)
	free := !l.busy
	l.busy = true
	l.mu.Unlock()
	if free && l.lead(ctx, p) {
		return p.err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, p.deadline)
		defer cancel()
	}
	for {
		select {
		case t := <-p.turn:
			if t == done || l.lead(ctx, p) {
				return p.err
			}
		case <-ctx.Done():
			l.abandon(p)
			return ctx.Err()
		}
	}
}

// lead sends the head of the line, of which p is the first, and reports whether p is done. It is not
// if the round trip may last longer than p can wait: then a goroutine of its own makes it, and p is
// told like the others. The goroutine ends by the latest deadline of those it works for.
func (l *Log) lead(ctx context.Context, p *post) bool {
	l.mu.Lock()
	batch := l.takeLocked()
	known := l.known
	l.mu.Unlock()

	limit := p.deadline
	for _, other := range batch {
		if other.deadline.After(limit) {
			limit = other.deadline
		}
	}
	if most := time.Now().Add(l.cfg.Timeout); limit.After(most) {
		limit = most
	}
	ctx = context.WithoutCancel(ctx)
	if p.deadline.Before(limit) {
		go l.roundTrip(ctx, limit, batch, batch, known)
		return false
	}
	l.roundTrip(ctx, limit, batch, batch[1:], known)
	return true
}

// roundTrip sends a batch, names the next to lead, and tells the waiting posts of the batch that they
// are done.
func (l *Log) roundTrip(ctx context.Context, limit time.Time, batch, waiting []*post, known proto.ID) {
	ctx, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	newest, err := l.send(ctx, batch, known)

	l.mu.Lock()
	if newest.After(l.known) {
		l.known = newest
	}
	l.passOnLocked()
	l.mu.Unlock()

	for _, p := range batch {
		if err != nil {
			p.err = err
		}
	}
	for _, p := range waiting {
		p.turn <- done
	}
}

// takeLocked takes from the head of the line what travels in one call of the script. l.mu is held.
func (l *Log) takeLocked() []*post {
	n, messages, bytes := 0, 0, 0
	for _, p := range l.line {
		messages += len(p.msgs)
		bytes += p.bytes
		if n > 0 && (messages > maxBatch || bytes > maxBatchBytes) {
			break
		}
		n++
	}
	batch := slices.Clone(l.line[:n])
	l.line = slices.Delete(l.line, 0, n)
	return batch
}

// passOnLocked names the head of the line to lead it, or sets the line free. l.mu is held.
func (l *Log) passOnLocked() {
	if len(l.line) > 0 {
		l.line[0].turn <- lead
		return
	}
	l.busy = false
}

// abandon takes p, whose caller does not wait any more, out of the line if it still stands there.
func (l *Log) abandon(p *post) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.line, p)
	if i < 0 {
		return
	}
	l.line = slices.Delete(l.line, i, i+1)
	select {
	case <-p.turn: // p was to lead
		l.passOnLocked()
	default:
	}
}

// send appends a batch and gives its newest id. The script does nothing if channels are closed, or messages were appended before; they are
// taken off, and the rest is sent again.
func (l *Log) send(ctx context.Context, batch []*post, known proto.ID) (proto.ID, error) {
	twins := takeTwins(batch)
	for {
		args := []any{cursor(known), ListLife.Milliseconds(), l.cfg.ChannelCap, l.cfg.WriteWindow.Milliseconds(), KeyLife.Milliseconds()}
		options := len(args)
		for _, p := range batch {
			args = append(args, p.args...)
		}
		messages := (len(args) - options) / argsPerMessage
		if messages == 0 {
			twins.number()
			return known, nil
		}
		reply, err := run(ctx, l.rdb, l.append, l.head, args...).Result()
		if err != nil {
			return proto.ID{}, err
		}
		switch reply := reply.(type) {
		case string:
			newest, err := proto.ParseID(reply)
			if err != nil {
				return proto.ID{}, err
			}
			number(batch, newest, messages)
			twins.number()
			return newest, nil
		case []any:
			if err := takeOff(batch, reply); err != nil {
				return proto.ID{}, err
			}
		default:
			return proto.ID{}, fmt.Errorf("unexpected answer %T", reply)
		}
	}
}

// number writes the receipts of all messages that were sent, the last of which got the id newest.
func number(batch []*post, newest proto.ID, messages int) {
	id := proto.ID{Epoch: newest.Epoch, Sequence: newest.Sequence - uint64(messages)}
	for _, p := range batch {
		for i, m := range p.msgs {
			if m != nil {
				id.Sequence++
				p.receipts[i].ID = id
			}
		}
	}
}

// takeOff takes off a batch what the script said that it would not append.
func takeOff(batch []*post, reply []any) error {
	if len(reply) == 0 {
		return errReply
	}
	switch reply[0] {
	case "again":
		return takeRepeated(batch, reply[1:])
	case "closed":
		return takeClosed(batch, reply[1:])
	default:
		return fmt.Errorf("unexpected answer %v", reply[0])
	}
}

// takeClosed takes closed channels off the messages of a batch, and messages that have no other off the batch. closed is pairs of
// message, counted over all that were sent, and receiver, in rising order.
func takeClosed(batch []*post, closed []any) error {
	sent := int64(-1)
	for _, p := range batch {
		p.rewrite(func(i int, m *proto.Message) *proto.Message {
			sent++
			var open []channel.ID
			for at, id := range m.Receivers {
				if len(closed) >= 2 && closed[0] == sent && closed[1] == int64(at) {
					closed = closed[2:]
					p.receipts[i].Closed = append(p.receipts[i].Closed, id)
					continue
				}
				open = append(open, id)
			}
			switch {
			case len(open) == len(m.Receivers):
				return m
			case len(open) > 0:
				return m.To(open)
			default:
				return nil
			}
		})
	}
	if len(closed) > 0 {
		return fmt.Errorf("%d closed channels that were not sent", len(closed)/2)
	}
	return nil
}

// replace puts m, or nil for nothing, in the place of a message, leaving the caller's own slice as it was.
func (p *post) replace(i int, m *proto.Message) {
	if p.msgs[i] != m {
		p.msgs = slices.Clone(p.msgs)
		p.msgs[i] = m
	}
}
