package command

import (
	"context"
	"testing"
	"time"

	protobuf "google.golang.org/protobuf/proto"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/testkit"
	"pushgate/internal/wire/pb"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// fake is a log in which those channels are online whose id begins with an even byte.
type fake struct {
	calls    int // of Append
	got      []*proto.Message
	closed   bool
	appends  error
	onlines  error
	stats    []proto.ProcessStats
	statsErr error
}

func (f *fake) Append(_ context.Context, msgs ...*proto.Message) ([]proto.Receipt, error) {
	if f.appends != nil {
		return nil, f.appends
	}
	f.calls++
	f.got = append(f.got, msgs...)
	receipts := make([]proto.Receipt, len(msgs))
	for i := range receipts {
		if !f.closed {
			receipts[i].ID = proto.ID{Epoch: 1, Sequence: uint64(len(f.got))}
		}
	}
	return receipts, nil
}

func (f *fake) Online(_ context.Context, ids []channel.ID) ([]int, error) {
	sessions := make([]int, len(ids))
	for i, id := range ids {
		if public, ok := id.PublicID(); ok {
			id = public
		}
		if raw, _ := id.Bytes(); raw[0]%2 == 0 {
			sessions[i] = 2
		}
	}
	return sessions, f.onlines
}

// LastSeen reports users with an odd number as gone for a minute, and all others as online.
func (f *fake) LastSeen(_ context.Context, users []int64) ([]int, []time.Time, error) {
	sessions := make([]int, len(users))
	times := make([]time.Time, len(users))
	for i, user := range users {
		if user%2 == 1 {
			times[i] = time.Now().Add(-time.Minute)
		} else {
			sessions[i] = 1
		}
	}
	return sessions, times, f.onlines
}

func (f *fake) Processes(context.Context) ([]proto.ProcessStats, error) { return f.stats, f.statsErr }

func id(n byte) channel.ID { return channel.FromBytes([16]byte{n, 0xee}) }

func raw(n byte) []byte {
	b, _ := id(n).Bytes()
	return b[:]
}

func newExecutor(tb testing.TB, f *fake) *Executor {
	config := Config{Signer: signer}
	if err := config.Rules.UnmarshalText([]byte("im_startWriting=2m,online_*=2m,*=24h")); err != nil {
		tb.Fatal(err)
	}
	return New(config, f, f)
}

// The parts of batches.

func private(n byte) *pb.Receiver { return &pb.Receiver{Id: raw(n), IsPrivate: true} }

func public(n byte) *pb.Receiver {
	return &pb.Receiver{Id: raw(n), Signature: signer.SignPublic(id(n))}
}

func incoming(body string, to ...*pb.Receiver) *pb.IncomingMessage {
	return &pb.IncomingMessage{Receivers: to, Body: []byte(body), Expiry: 60}
}

func publish(messages ...*pb.IncomingMessage) *pb.Request {
	return &pb.Request{Command: &pb.Request_IncomingMessages{IncomingMessages: &pb.IncomingMessagesRequest{Messages: messages}}}
}

func ask(to ...*pb.Receiver) *pb.Request {
	stats := new(pb.ChannelStatsRequest)
	for _, r := range to {
		stats.Channels = append(stats.Channels, &pb.ChannelId{Id: r.Id, IsPrivate: r.IsPrivate, Signature: r.Signature})
	}
	return &pb.Request{Command: &pb.Request_ChannelStats{ChannelStats: stats}}
}

func serverStats() *pb.Request {
	return &pb.Request{Command: &pb.Request_ServerStats{ServerStats: &pb.ServerStatsRequest{}}}
}

func register() *pb.Request {
	return &pb.Request{Command: &pb.Request_Registration{Registration: &pb.RegisterRequest{}}}
}

func batch(tb testing.TB, requests ...*pb.Request) []byte {
	tb.Helper()
	b, err := protobuf.Marshal(&pb.RequestBatch{Requests: requests})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func many[T any](n int, v T) []T {
	all := make([]T, n)
	for i := range all {
		all[i] = v
	}
	return all
}
