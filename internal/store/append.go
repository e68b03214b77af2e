package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// Bounds of one call of the script, unless a single Append is larger. While a script runs, Redis
// serves nobody else.
const (
	maxBatch      = 256
	maxBatchBytes = 1 << 20
)

// Append appends messages to the log and notifies the followers. They stay in order, with no other
// message between them, and either all are appended or none. The receipts hold their ids; the
// messages themselves are not changed, but for Trace.Sent. Receivers must be distinct. A message
// whose key was appended within KeyLife is not appended again: its receipt is that of the first
// one.
//
// It returns by the deadline of ctx, or within Config.Timeout if ctx has none. A round trip to
// Redis takes Config.Timeout at most. After an error the messages may have been appended all the
// same: the answer may have been lost. Appends that arrive while Redis is busy with others share
// the next round trip, which lasts until the latest of their deadlines; each of them returns by its
// own. An append whose goroutine makes a round trip does not return when ctx is cancelled. Only
// messages that replicas must have, as Config.Replicas says, wait for the replicas.
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

// post is a queued Append. Its caller owns it until it is queued, then the leader of the queue,
// until signal says done.
type post struct {
	msgs     []*proto.Message // the caller's; replaced by copies where channels are closed
	args     []any            // arguments of the script: four for each message
	keyed    bool             // a message has a key
	bytes    int
	deadline time.Time // when Append must return
	receipts []proto.Receipt
	err      error

	signal chan signal // of capacity 1; receives one value at most
}

// signal is what a waiting post receives.
type signal int

const (
	done signal = iota // its receipts or its error are set
	lead               // it is the first in the queue and must lead it
)

const argsPerMessage = 4

func newPost(msgs []*proto.Message) (*post, error) {
	p := &post{
		msgs:     msgs,
		args:     make([]any, 0, argsPerMessage*len(msgs)),
		receipts: make([]proto.Receipt, len(msgs)),
		signal:   make(chan signal, 1),
	}
	for i, m := range msgs {
		if err := Check(m); err != nil {
			return nil, fmt.Errorf("message %d of %d: %w", i+1, len(msgs), err)
		}
		p.encode(m)
	}
	return p, nil
}

// Check returns an error if the log would refuse a message: for no receivers or too many, or a
// life, key, type or body beyond the limits of proto.
func Check(m *proto.Message) error {
	switch {
	case len(m.Receivers) == 0 || len(m.Receivers) > proto.MaxReceivers:
		return fmt.Errorf("invalid number of receivers: %d", len(m.Receivers))
	case slices.ContainsFunc(m.Receivers, channel.ID.IsZero):
		return fmt.Errorf("a receiver is not a channel")
	case m.TTL < 0 || m.TTL > proto.MaxTTL:
		return fmt.Errorf("life out of range: %v", m.TTL)
	case len(m.Key) > proto.MaxKey:
		return fmt.Errorf("key too long: %d bytes", len(m.Key))
	case len(m.Type) > proto.MaxType:
		return fmt.Errorf("type too long: %d bytes", len(m.Type))
	case m.Size() > proto.MaxBody:
		return fmt.Errorf("body too long: %d bytes", m.Size())
	case len(m.UserParams) > proto.MaxUserParams:
		return fmt.Errorf("parameters of too many users: %d", len(m.UserParams))
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

// enqueue queues p and returns when p is done, or when ctx ends while another goroutine works for
// p.
func (l *Log) enqueue(ctx context.Context, p *post) error {
	if len(p.msgs) == 0 {
		return nil
	}
	l.mu.Lock()
	l.queue = append(l.queue, p)
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
		case t := <-p.signal:
			if t == done || l.lead(ctx, p) {
				return p.err
			}
		case <-ctx.Done():
			l.abandon(p)
			return ctx.Err()
		}
	}
}

// lead sends the head of the queue, of which p is the first, and reports whether p is done. If the
// round trip may last longer than p can wait, a separate goroutine makes it, and p gets a signal
// like the others. That goroutine ends by the latest deadline of its batch.
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
	now := time.Now()
	if most := now.Add(l.cfg.Timeout); limit.After(most) {
		limit = most
	}
	for _, queued := range batch {
		for _, m := range queued.msgs {
			if m.Trace != nil {
				m.Trace.Sent.Store(now.UnixNano())
			}
		}
	}
	ctx = context.WithoutCancel(ctx)
	if p.deadline.Before(limit) {
		go l.roundTrip(ctx, limit, batch, batch, known)
		return false
	}
	l.roundTrip(ctx, limit, batch, batch[1:], known)
	return true
}

// roundTrip sends a batch, signals the next leader, and signals the waiting posts of the batch that
// they are done.
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
		p.signal <- done
	}
}

// takeLocked removes from the head of the queue what fits into one call of the script. l.mu is
// held.
func (l *Log) takeLocked() []*post {
	n, messages, bytes := 0, 0, 0
	for _, p := range l.queue {
		messages += len(p.msgs)
		bytes += p.bytes
		if n > 0 && (messages > maxBatch || bytes > maxBatchBytes) {
			break
		}
		n++
	}
	batch := slices.Clone(l.queue[:n])
	l.queue = slices.Delete(l.queue, 0, n)
	return batch
}

// passOnLocked makes the head of the queue its leader, or marks an empty queue as free. l.mu is
// held.
func (l *Log) passOnLocked() {
	if len(l.queue) > 0 {
		l.queue[0].signal <- lead
		return
	}
	l.busy = false
}

// abandon removes p, whose caller does not wait any more, from the queue if it is still there.
func (l *Log) abandon(p *post) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.queue, p)
	if i < 0 {
		return
	}
	l.queue = slices.Delete(l.queue, i, i+1)
	select {
	case <-p.signal: // p was the next leader
		l.passOnLocked()
	default:
	}
}

// send appends a batch and returns its newest id. If channels are closed or messages were appended
// before, the script appends nothing; send removes them from the batch and sends the rest again.
func (l *Log) send(ctx context.Context, batch []*post, known proto.ID) (proto.ID, error) {
	duplicates := takeDuplicates(batch)
	for {
		args := []any{cursor(known), ListLife.Milliseconds(), l.cfg.ChannelCap, l.cfg.WriteWindow.Milliseconds(), KeyLife.Milliseconds()}
		options := len(args)
		for _, p := range batch {
			args = append(args, p.args...)
		}
		messages := (len(args) - options) / argsPerMessage
		if messages == 0 {
			duplicates.number()
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
			duplicates.number()
			return newest, nil
		case []any:
			if err := takeOff(batch, reply); err != nil {
				return proto.ID{}, err
			}
		default:
			return proto.ID{}, fmt.Errorf("unexpected reply %T", reply)
		}
	}
}

// number writes the receipts of all messages that were sent, the last of which has the id newest.
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

// takeOff removes from a batch what the script refused to append.
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
		return fmt.Errorf("unexpected reply %v", reply[0])
	}
}

// takeClosed removes closed channels from the messages of a batch, and from the batch the messages
// that have no other channel. closed is pairs of a message, counted over all that were sent, and a
// receiver, in ascending order.
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
		return fmt.Errorf("reply names %d closed channels that were not sent", len(closed)/2)
	}
	return nil
}

// replace replaces a message by m, or by nil for none. It does not change the caller's slice.
func (p *post) replace(i int, m *proto.Message) {
	if p.msgs[i] != m {
		p.msgs = slices.Clone(p.msgs)
		p.msgs[i] = m
	}
}
