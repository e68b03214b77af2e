package command

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/rpc"
)

// Caller is a client of version 5: a user of the portal, or a guest that has at most a public id.
type Caller struct {
	User   int64      // 0: none
	Public channel.ID // zero: none
}

// sender returns how the readers of its messages see the caller.
func (c Caller) sender() proto.Sender {
	if id := channel.ForUser(c.User); !id.IsZero() {
		return proto.Sender{Type: proto.SenderClient, ID: id}
	}
	return proto.Sender{Type: proto.SenderClient, ID: c.Public}
}

// errNobody is the error for a client that has neither a user nor a public id.
var errNobody = rpc.ErrInvalidRequest.With(proto.ErrNoPublicID.Text)

// Call carries out a client's call of publish or getUsersLastSeen. The error is the log's; the
// client's faults are in the reply. For any other method the reply is "method not found".
func (x *Executor) Call(ctx context.Context, c Caller, call rpc.Call) (rpc.Reply, error) {
	switch {
	case call.Fault != nil:
		return rpc.Reply{Fault: call.Fault}, nil
	case call.Method == "publish":
		return x.publish(ctx, c, call.Params)
	case call.Method == "getUsersLastSeen":
		return x.lastSeen(ctx, call.Params, x.config.MaxChannels)
	default:
		return rpc.Reply{Fault: rpc.ErrMethodNotFound}, nil
	}
}

func (x *Executor) publish(ctx context.Context, c Caller, params json.RawMessage) (rpc.Reply, error) {
	m, fault := x.clientMessage(c, params, time.Now())
	if fault != nil {
		return rpc.Reply{Fault: fault}, nil
	}
	receipts, err := x.log.Append(ctx, m)
	switch {
	case err != nil:
		return rpc.Reply{}, fmt.Errorf("publish a client's message: %w", err)
	case !x.countMessages([]*proto.Message{m}, receipts):
		return rpc.Reply{Fault: rpc.ErrInvalidParams.With(proto.ErrChannelsClosed.Text)}, nil
	default:
		x.config.Tally.Request("publish")
		return rpc.Reply{}, nil
	}
}

// clientMessage makes a message by the rules of [Executor.Client]: it ignores what only a portal
// may set (params of single users, a type).
func (x *Executor) clientMessage(c Caller, params json.RawMessage, now time.Time) (*proto.Message, *rpc.Error) {
	sender := c.sender()
	if sender.ID.IsZero() {
		return nil, errNobody
	}
	p, fault := rpc.ParsePublish(params)
	if fault != nil {
		return nil, fault
	}
	receivers, refusal := x.clientReceivers(c, p)
	if refusal != nil {
		return nil, rpc.ErrInvalidParams.With(refusal.Text)
	}
	body, err := clientBody(p.Body, sender, now)
	if err == nil {
		var typ string
		if body, typ, err = proto.CheckBody(body); err == nil {
			m := &proto.Message{Receivers: receivers, Sender: sender, Type: typ, Body: body, Created: now.Truncate(time.Microsecond)}
			if p.Expiry > 0 {
				m.TTL = x.config.Rules.TTL(typ, p.Expiry)
			}
			return m, nil
		}
	}
	var invalid *proto.Error
	if !errors.As(err, &invalid) {
		return nil, rpc.ErrInvalidParams
	}
	return nil, rpc.ErrInvalidParams.With(invalid.Text)
}

// clientReceivers returns the channels of a client's message. Users may write to users; a guest
// needs the portal's signature, as everybody does for a public id.
func (x *Executor) clientReceivers(c Caller, p rpc.Publish) ([]channel.ID, *proto.Error) {
	switch n := len(p.Users) + len(p.Channels); {
	case n == 0:
		return nil, proto.ErrNoChannels
	case n > x.config.MaxChannels:
		return nil, proto.ErrTooManyChannels
	case len(p.Users) > 0 && c.User == 0:
		return nil, proto.ErrPrivateChannel
	}
	var refs []channel.Ref
	for _, value := range p.Channels {
		id, signature := publicChannel(value)
		raw, err := hex.DecodeString(signature)
		if err != nil || id.IsZero() || !x.config.Signer.VerifyPublic(id, raw) {
			return nil, proto.ErrChannelSignature
		}
		refs = append(refs, channel.Ref{Public: id})
	}
	for _, user := range p.Users {
		refs = append(refs, channel.Ref{Private: channel.ForUser(user)})
	}
	return channel.IDs(refs), nil
}

// publicChannel reads a public id and its signature, in one string or as two members of an object.
// It returns the zero ID for what it cannot read.
func publicChannel(value json.RawMessage) (channel.ID, string) {
	var text string
	var id, signature string
	if o, ok := proto.ParseObject(value); ok {
		id, signature = o.String("publicId"), o.String("signature")
		// Some clients put the signature into the id, too.
		id, _, _ = strings.Cut(id, ".")
	} else if json.Unmarshal(value, &text) == nil {
		id, signature, _ = strings.Cut(text, ".")
	}
	refs, err := channel.Hex.ParseList(id, 1)
	if err != nil || !refs[0].Public.IsZero() {
		return channel.ID{}, ""
	}
	return refs[0].Private, signature
}

// LastSeen carries out a portal's getUsersLastSeen. The error is the log's.
func (x *Executor) LastSeen(ctx context.Context, params json.RawMessage) (rpc.Reply, error) {
	return x.lastSeen(ctx, params, math.MaxInt)
}

// lastSeen carries out getUsersLastSeen of at most limit users.
func (x *Executor) lastSeen(ctx context.Context, params json.RawMessage, limit int) (rpc.Reply, error) {
	users, fault := rpc.ParseUsers(params)
	if fault == nil && len(users) > limit {
		fault = rpc.ErrInvalidParams.With("too many users")
	}
	if fault != nil {
		return rpc.Reply{Fault: fault}, nil
	}
	sessions, seen, err := x.log.LastSeen(ctx, users)
	if err != nil {
		return rpc.Reply{}, fmt.Errorf("query when %d users were last seen: %w", len(users), err)
	}
	x.config.Tally.Request("getUsersLastSeen")
	return rpc.Reply{Result: rpc.LastSeen(users, sessions, seen, time.Now())}, nil
}
