// Package command carries out the batches of requests of portals and clients, by the same rules
// over every transport.
//
// A client is anybody with a signed pair of a private and a public channel id, like any browser of
// the portal does. This package decides what it may write and claim, because the readers of its
// messages do not: see client.go.
package command

import (
	"context"
	"fmt"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/policy"
	"pushgate/internal/proto"
	"pushgate/internal/sign"
	"pushgate/internal/tally"
	"pushgate/internal/wire/pb"
)

// Log is the part of a portal's log that an executor uses. Its methods must be safe for concurrent
// use.
type Log interface {
	// Append appends messages to the log and notifies of them, all or none.
	Append(ctx context.Context, msgs ...*proto.Message) ([]proto.Receipt, error)
	// Online returns for each channel how many sessions watch it.
	Online(ctx context.Context, channels []channel.ID) ([]int, error)
	// LastSeen returns for each user how many sessions it has, and when it was last seen, the zero
	// time if never.
	LastSeen(ctx context.Context, users []int64) (sessions []int, seen []time.Time, err error)
}

// Stats has the processes' statistics, as far as the portal may see them. It must be safe for
// concurrent use.
type Stats interface {
	Processes(ctx context.Context) ([]proto.ProcessStats, error)
}

// Config configures an executor. Zero limits take their defaults.
type Config struct {
	Signer      *sign.Signer    // verifies the right to write to a public id
	Rules       policy.TTLRules // how long messages live, by type
	MaxPayload  int64           // most bytes of a batch; 1 MiB
	MaxMessages int             // most messages of a batch; 100
	MaxChannels int             // most receivers of a message, and channels of a question; 100
	Tally       *tally.Tally    // counts what is carried out; may be nil
}

// Executor carries out batches. Its methods may be called concurrently.
type Executor struct {
	config Config
	log    Log
	stats  Stats
}

// New returns an executor over a portal's log. Clients get no statistics: stats may be nil if the
// executor serves only them.
func New(config Config, log Log, stats Stats) *Executor {
	if config.MaxPayload == 0 {
		config.MaxPayload = 1 << 20
	}
	if config.MaxMessages == 0 {
		config.MaxMessages = 100
	}
	if config.MaxChannels == 0 {
		config.MaxChannels = 100
	}
	return &Executor{config: config, log: log, stats: stats}
}

// Portal carries out an encoded RequestBatch of a sender that may write to private channels.
//
// All requests of the batch are carried out, or none: all are checked first. The reply is an
// encoded ResponseBatch with the answers to the questions among them, in order; it is nil if there
// are none. The error is a *[proto.Error] if the sender is at fault. After any other error, which
// is ours, the batch may have been carried out all the same.
func (x *Executor) Portal(ctx context.Context, batch []byte) (reply []byte, err error) {
	return x.execute(ctx, caller{}, batch)
}

// Client carries out an encoded RequestBatch of a client whose own public id is public, as
// [Executor.Portal] does for a portal. With the zero id the batch is refused.
func (x *Executor) Client(ctx context.Context, public channel.ID, batch []byte) (reply []byte, err error) {
	return x.execute(ctx, caller{client: true, public: public}, batch)
}

// caller is the sender of a batch.
type caller struct {
	client bool
	public channel.ID // of a client
}

func (x *Executor) execute(ctx context.Context, c caller, data []byte) ([]byte, error) {
	if c.client && c.public.IsZero() {
		return nil, proto.ErrNoPublicID
	}
	batch, err := x.decode(data)
	if err != nil {
		return nil, err
	}
	if err := x.check(c, batch); err != nil {
		return nil, err
	}
	messages, err := x.messages(c, batch, time.Now())
	if err != nil {
		return nil, err
	}
	// Questions come first: if they fail, nothing has been published, and the sender may repeat the
	// whole batch.
	reply, err := x.answers(ctx, batch)
	if err != nil {
		return nil, err
	}
	if len(messages) == 0 {
		x.countRequests(batch)
		return reply, nil
	}
	receipts, err := x.log.Append(ctx, messages...)
	if err != nil {
		return nil, fmt.Errorf("publish %d messages of a batch: %w", len(messages), err)
	}
	if !x.countMessages(messages, receipts) {
		return nil, proto.ErrChannelsClosed
	}
	x.countRequests(batch)
	return reply, nil
}

// countRequests counts the requests of a batch that has been carried out.
func (x *Executor) countRequests(batch *pb.RequestBatch) {
	for _, request := range batch.GetRequests() {
		switch request.GetCommand().(type) {
		case *pb.Request_IncomingMessages:
			x.config.Tally.Request(tally.IncomingMessages)
		case *pb.Request_ChannelStats:
			x.config.Tally.Request(tally.ChannelStats)
		case *pb.Request_ServerStats:
			x.config.Tally.Request(tally.ServerStats)
		}
	}
}

// countMessages counts the messages that the log has appended, each once however often it is sent,
// and reports whether there are any.
func (x *Executor) countMessages(messages []*proto.Message, receipts []proto.Receipt) (taken bool) {
	for i, receipt := range receipts {
		taken = taken || !receipt.ID.IsZero()
		if !receipt.ID.IsZero() && !receipt.Repeated {
			x.config.Tally.Message(messages[i].Type)
		}
	}
	return taken
}

// messages returns the messages of a batch that has been checked.
func (x *Executor) messages(c caller, batch *pb.RequestBatch, now time.Time) ([]*proto.Message, error) {
	var messages []*proto.Message
	for _, request := range batch.GetRequests() {
		for _, incoming := range request.GetIncomingMessages().GetMessages() {
			m, err := x.message(c, incoming, now)
			if err != nil {
				return nil, err
			}
			messages = append(messages, m)
		}
	}
	return messages, nil
}

func (x *Executor) message(c caller, incoming *pb.IncomingMessage, now time.Time) (*proto.Message, error) {
	body := incoming.GetBody()
	typ := proto.MessageType(string(incoming.GetType()))
	sender := proto.Sender{Type: proto.SenderBackend}
	if c.client {
		var err error
		sender = proto.Sender{Type: proto.SenderClient, ID: c.public}
		if body, err = clientBody(body, sender, now); err != nil {
			return nil, err
		}
		typ = "" // a client must not choose how long its messages live
	}
	body, found, err := proto.CheckBody(body)
	if err != nil {
		return nil, err
	}
	if typ == "" {
		typ = found
	}
	m := &proto.Message{
		Receivers: receivers(incoming.GetReceivers()),
		Sender:    sender,
		Type:      typ,
		Body:      body,
		Created:   now.Truncate(time.Microsecond),
	}
	if expiry := incoming.GetExpiry(); expiry > 0 {
		m.TTL = x.config.Rules.TTL(typ, time.Duration(expiry)*time.Second)
	}
	return m, nil
}

// receivers returns the channels of a list that has been checked, each once, because the log
// requires distinct ones.
func receivers(list []*pb.Receiver) []channel.ID {
	refs := make([]channel.Ref, len(list))
	for i, r := range list {
		if r.GetIsPrivate() {
			refs[i].Private = idOf(r)
		} else {
			refs[i].Public = idOf(r)
		}
	}
	return channel.IDs(refs)
}
