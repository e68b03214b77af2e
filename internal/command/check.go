package command

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	protobuf "google.golang.org/protobuf/proto"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/sign"
	"pushgate/internal/wire/pb"
)

// decode decodes a batch. It counts the parts before it allocates memory for them: a request may be
// two bytes encoded, and is a hundred in memory. No batch within the limits has as many parts as
// are allowed here.
func (x *Executor) decode(data []byte) (*pb.RequestBatch, error) {
	if int64(len(data)) > x.config.MaxPayload {
		return nil, proto.ErrRequestData
	}
	n := counter{left: x.config.MaxMessages*(3*x.config.MaxChannels+4) + 1}
	if !n.count(data, 0) {
		return nil, proto.ErrRequestData
	}
	if n.left == 0 {
		return nil, proto.ErrTooManyMessages
	}
	batch := new(pb.RequestBatch)
	if err := (protobuf.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, batch); err != nil {
		return nil, proto.ErrRequestData
	}
	return batch, nil
}

// counter counts the nested parts of an encoded batch, down to zero.
type counter struct{ left int }

// nested has the fields that may be repeated, by depth: requests; their lists of messages or
// channels; the messages or channels; receivers and senders.
var nested = [...][]protowire.Number{{1}, {1, 2}, {1}, {1, 2}}

// count counts the parts of data, which is at the given depth, until the counter is used up. It
// returns false if data is damaged. It does not look into the deepest parts: they may be ids of
// channels.
func (n *counter) count(data []byte, depth int) bool {
	for len(data) > 0 && n.left > 0 {
		number, kind, size := protowire.ConsumeTag(data)
		if size < 0 {
			return false
		}
		data = data[size:]
		if kind != protowire.BytesType || !slices.Contains(nested[depth], number) {
			if size = protowire.ConsumeFieldValue(number, kind, data); size < 0 {
				return false
			}
			data = data[size:]
			continue
		}
		inner, size := protowire.ConsumeBytes(data)
		if size < 0 {
			return false
		}
		n.left--
		if depth+1 < len(nested) && !n.count(inner, depth+1) {
			return false
		}
		data = data[size:]
	}
	return true
}

// check validates a batch, in the original's order: its kind, who may send it, its size, and its
// receivers. Only the bodies of messages are checked later.
func (x *Executor) check(c caller, batch *pb.RequestBatch) error {
	if len(batch.GetRequests()) == 0 {
		return proto.ErrRequestData
	}
	for _, request := range batch.GetRequests() {
		if request.GetCommand() == nil {
			return proto.ErrRequestData
		}
	}
	for _, request := range batch.GetRequests() {
		if err := allowed(c, request); err != nil {
			return err
		}
	}
	if len(batch.GetRequests()) > x.config.MaxMessages {
		return proto.ErrTooManyMessages
	}
	total := 0
	for _, request := range batch.GetRequests() {
		if incoming, ok := request.GetCommand().(*pb.Request_IncomingMessages); ok {
			n := len(incoming.IncomingMessages.GetMessages())
			if total += n; n == 0 || total > x.config.MaxMessages {
				return proto.ErrTooManyMessages
			}
		}
	}
	rights := rights{signer: x.config.Signer, verified: make(map[right]struct{})}
	for _, request := range batch.GetRequests() {
		for _, incoming := range request.GetIncomingMessages().GetMessages() {
			if err := checkChannels(x, c, rights, incoming.GetReceivers()); err != nil {
				return err
			}
		}
		if stats, ok := request.GetCommand().(*pb.Request_ChannelStats); ok {
			if err := checkChannels(x, c, rights, stats.ChannelStats.GetChannels()); err != nil {
				return err
			}
		}
	}
	return nil
}

// rights verifies the signatures of one batch, each once: ten thousand copies of a valid one would
// cost ten thousand digests.
type rights struct {
	signer   *sign.Signer
	verified map[right]struct{}
}

// right is an id and a signature of it that has been verified.
type right struct {
	id        [channel.IDLen / 2]byte
	signature string
}

// verify reports whether a is signed. Its id must have the right length.
func (r rights) verify(a address) bool {
	raw := [channel.IDLen / 2]byte(a.GetId())
	if _, ok := r.verified[right{raw, string(a.GetSignature())}]; ok {
		return true
	}
	ok := r.signer.VerifyPublic(idOf(a), a.GetSignature())
	if ok {
		r.verified[right{raw, string(a.GetSignature())}] = struct{}{}
	}
	return ok
}

func allowed(c caller, request *pb.Request) error {
	switch request.GetCommand().(type) {
	case *pb.Request_IncomingMessages, *pb.Request_ChannelStats:
		return nil
	case *pb.Request_ServerStats:
		if !c.client {
			return nil
		}
	}
	if c.client {
		return proto.ErrNotAllowed
	}
	return proto.ErrWrongCommand
}

// address is a channel as a request names it: a receiver, or one that is asked about.
type address interface {
	GetId() []byte
	GetIsPrivate() bool
	GetSignature() []byte
}

// checkChannels checks a list. A client knows only public ids, and needs the portal's signature for
// each, to ask as well as to write.
func checkChannels[T address](x *Executor, c caller, rights rights, list []T) error {
	switch {
	case len(list) == 0:
		return proto.ErrNoChannels
	case len(list) > x.config.MaxChannels:
		return proto.ErrTooManyChannels
	}
	for _, a := range list {
		right := len(a.GetId()) == channel.IDLen/2
		switch {
		case !c.client && !right:
			return proto.ErrInvalidChannel
		case c.client && a.GetIsPrivate():
			return proto.ErrPrivateChannel
		case c.client && (!right || !rights.verify(a)):
			return proto.ErrChannelSignature
		}
	}
	return nil
}

// idOf returns the id of an address that has the right length.
func idOf(a address) channel.ID {
	return channel.FromBytes([channel.IDLen / 2]byte(a.GetId()))
}
