package command

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	protobuf "google.golang.org/protobuf/proto"

	"pushgate/internal/proto"
	"pushgate/internal/vectors"
	"pushgate/internal/wire/pb"
)

// FuzzBatch: no bytes make an executor panic, or publish a batch that it refuses. The generated
// code can decode every batch that it accepts.
func FuzzBatch(f *testing.F) {
	for _, c := range vectors.Load(f).Protobuf.Cases {
		data, _ := hex.DecodeString(c.Hex)
		f.Add(data, true)
		f.Add(data, false)
	}
	f.Add(batch(f, publish(incoming(hello, public(1), public(2))), ask(public(1)), serverStats()), true)
	f.Add(bytes.Repeat([]byte{0x0a, 0x00}, 1000), true)
	f.Fuzz(func(t *testing.T, data []byte, client bool) {
		log := &fake{}
		x := newExecutor(t, log)
		var reply []byte
		var err error
		if client {
			reply, err = x.Client(t.Context(), mine, data)
		} else {
			reply, err = x.Portal(t.Context(), data)
		}
		var b pb.RequestBatch
		bad := protobuf.Unmarshal(data, &b)
		if err != nil {
			var refusal *proto.Error
			if !errors.As(err, &refusal) || log.calls > 0 || reply != nil {
				t.Fatalf("%v, %d messages, reply %x", err, len(log.got), reply)
			}
			if bad == nil && expected(&b, client) == nil {
				t.Errorf("%v, for what is right", err)
			}
			return
		}
		if bad != nil {
			t.Fatalf("accepted what cannot be decoded: %v", bad)
		}
		outcome(t, log, &b, client, reply)
	})
}

// expected returns the error that a batch must have, nil for success. It is computed in another way
// than in the executor.
func expected(b *pb.RequestBatch, client bool) *proto.Error {
	if len(b.Requests) == 0 {
		return proto.ErrRequestData
	}
	messages := 0
	empty := false
	var forbidden *proto.Error
	for _, r := range b.Requests {
		switch {
		case r.Command == nil:
			return proto.ErrRequestData
		case r.GetRegistration() != nil && !client:
			forbidden = proto.ErrWrongCommand
		case r.GetRegistration() != nil, r.GetServerStats() != nil && client:
			forbidden = proto.ErrNotAllowed
		case r.GetIncomingMessages() != nil:
			n := len(r.GetIncomingMessages().Messages)
			messages += n
			empty = empty || n == 0
		}
	}
	if forbidden != nil {
		return forbidden
	}
	if messages > 100 || empty || len(b.Requests) > 100 {
		return proto.ErrTooManyMessages
	}
	for _, r := range b.Requests {
		lists := [][]*pb.Receiver{}
		for _, m := range r.GetIncomingMessages().GetMessages() {
			lists = append(lists, m.Receivers)
		}
		if stats := r.GetChannelStats(); stats != nil {
			var list []*pb.Receiver
			for _, c := range stats.Channels {
				list = append(list, &pb.Receiver{Id: c.Id, IsPrivate: c.IsPrivate, Signature: c.Signature})
			}
			lists = append(lists, list)
		}
		for _, list := range lists {
			if err := expectedOfList(list, client); err != nil {
				return err
			}
		}
	}
	for _, r := range b.Requests {
		for _, m := range r.GetIncomingMessages().GetMessages() {
			if _, err := clientBody(m.Body, proto.Sender{ID: mine}, time.Time{}); client && err != nil {
				return err.(*proto.Error)
			}
			if _, _, err := proto.CheckBody(m.Body); !client && err != nil {
				return err.(*proto.Error)
			}
		}
	}
	return nil
}

func expectedOfList(list []*pb.Receiver, client bool) *proto.Error {
	if len(list) == 0 {
		return proto.ErrNoChannels
	}
	if len(list) > 100 {
		return proto.ErrTooManyChannels
	}
	for _, r := range list {
		if !client {
			if len(r.Id) != 16 {
				return proto.ErrInvalidChannel
			}
			continue
		}
		if r.IsPrivate {
			return proto.ErrPrivateChannel
		}
		known := false
		for n := range byte(8) {
			known = known || bytes.Equal(r.Id, raw(n)) && bytes.Equal(r.Signature, public(n).Signature)
		}
		if !known {
			return proto.ErrChannelSignature
		}
	}
	return nil
}

// outcome compares the published messages and the reply with the batch.
func outcome(t *testing.T, log *fake, b *pb.RequestBatch, client bool, reply []byte) {
	t.Helper()
	if err := expected(b, client); err != nil {
		t.Fatalf("accepted, want %v", err)
	}
	var responses pb.ResponseBatch
	if err := protobuf.Unmarshal(reply, &responses); err != nil {
		t.Fatal(err)
	}
	got, answers := log.got, responses.Responses
	for _, r := range b.Requests {
		for _, m := range r.GetIncomingMessages().GetMessages() {
			if len(got) == 0 || len(got[0].Receivers) == 0 || len(got[0].Receivers) > len(m.Receivers) || (m.Expiry == 0) != got[0].Transient() {
				t.Fatalf("%v became %v", m, got)
			}
			if want := proto.SenderClient; client && (got[0].Sender.Type != want || got[0].Sender.ID != mine) {
				t.Fatalf("a client's message is from %v", got[0].Sender)
			}
			got = got[1:]
		}
		if stats := r.GetChannelStats(); stats != nil {
			if len(answers) == 0 || len(answers[0].GetChannelStats().GetChannels()) != len(stats.Channels) {
				t.Fatalf("%v answered with %v", stats, answers)
			}
			for i, c := range answers[0].GetChannelStats().GetChannels() {
				if asked := stats.Channels[i]; !bytes.Equal(c.Id, asked.Id) || c.IsPrivate != asked.IsPrivate || c.IsOnline != (c.Id[0]%2 == 0) {
					t.Fatalf("%v answered with %v", asked, c)
				}
			}
			answers = answers[1:]
		}
		if r.GetServerStats() != nil {
			if len(answers) == 0 || answers[0].GetServerStats() == nil {
				t.Fatalf("statistics answered with %v", answers)
			}
			answers = answers[1:]
		}
	}
	if len(got)+len(answers) > 0 || log.calls > 1 {
		t.Fatalf("%d messages and %d answers too many, in %d calls", len(got), len(answers), log.calls)
	}
}

// TestRandomBatches sends batches that are almost valid, encoded by the generated code, with
// unknown fields in them.
func TestRandomBatches(t *testing.T) {
	accepted := map[bool]int{}
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 7))
		b := randomBatch(r)
		data, err := protobuf.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		if r.IntN(2) == 0 {
			data = append(data, 0x7a, 3, 'n', 'e', 'w') // field 15, of a later version
		}
		client := r.IntN(2) == 0
		log := &fake{}
		x := newExecutor(t, log)
		do := x.Portal
		if client {
			do = func(ctx context.Context, data []byte) ([]byte, error) { return x.Client(ctx, mine, data) }
		}
		reply, err := do(t.Context(), data)
		want := expected(b, client)
		if want == nil && err == nil {
			accepted[client]++
			outcome(t, log, b, client, reply)
		} else if want == nil || err != want {
			t.Fatalf("seed %d: %v, want %v, for %v", seed, err, want, b)
		}
	}
	if accepted[true] < 50 || accepted[false] < 50 {
		t.Errorf("%v accepted: the test shows little", accepted)
	}
}

func randomBatch(r *rand.Rand) *pb.RequestBatch {
	b := new(pb.RequestBatch)
	rarely := func() bool { return r.IntN(40) == 0 }
	list := func() (all []*pb.Receiver) {
		n := 1 + r.IntN(5)
		if rarely() {
			n = r.IntN(2) * 101
		}
		for range n {
			one := public(byte(r.IntN(8)))
			switch {
			case rarely():
				one = private(byte(r.IntN(8)))
			case rarely():
				one.Id = one.Id[:r.IntN(16)]
			case rarely():
				one.Signature = public(byte(r.IntN(8))).Signature
			}
			all = append(all, one)
		}
		return all
	}
	for range 1 + r.IntN(4) {
		switch n := r.IntN(20); {
		case n < 12:
			var messages []*pb.IncomingMessage
			count := 1 + r.IntN(4)
			if rarely() {
				count = r.IntN(2) * 101
			}
			for range count {
				m := incoming(hello, list()...)
				m.Expiry = uint32(r.IntN(3)) * 50000
				if rarely() {
					m.Body = []byte([]string{"", "x", `{"module_id":"Pull","command":"x"}`, "#!NGINXNMS!#", "\xff"}[r.IntN(5)])
				}
				messages = append(messages, m)
			}
			b.Requests = append(b.Requests, publish(messages...))
		case n < 18:
			b.Requests = append(b.Requests, ask(list()...))
		case n < 19 && rarely():
			b.Requests = append(b.Requests, register(), &pb.Request{})
		case rarely():
			b.Requests = append(b.Requests, register())
		default:
			b.Requests = append(b.Requests, serverStats())
		}
	}
	return b
}
