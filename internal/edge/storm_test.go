package edge

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/channel"
	"pushgate/internal/hub"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit/storetest"
)

// trips counts the round trips of a client of Redis.
type trips struct{ n atomic.Int64 }

func (h *trips) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (h *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.n.Add(1)
		return next(ctx, cmd)
	}
}

func (h *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.n.Add(1)
		return next(ctx, cmds)
	}
}

// BenchmarkStorm measures 2,000 clients that return at once, each with 20 missed messages, from the
// first attachment to the last message, and what they cost Redis.
func BenchmarkStorm(b *testing.B) {
	const sleepers, missed = 2000, 20
	for _, bench := range []struct {
		name   string
		shared bool // ten channels are watched, by many each; else each sleeper has two of its own
		recent int  // bytes of messages that are remembered
	}{{"own channels", false, 0}, {"shared channels", true, 0}, {"remembered", false, 64 << 20}} {
		b.Run(bench.name, func(b *testing.B) {
			server := storetest.StartRedis(b)
			rdb, err := store.Open(server.URL())
			if err != nil {
				b.Fatal(err)
			}
			defer rdb.Close()
			count := new(trips)
			rdb.AddHook(count)
			log := store.New(rdb, store.Config{}).Log("default")
			h := hub.New(log, hub.Config{})
			h.Remember(bench.recent)
			channels := make([][]channel.ID, sleepers)
			for i := range channels {
				own := channel.FromBytes([16]byte{1, byte(i), byte(i >> 8)})
				channels[i] = []channel.ID{own, channel.FromBytes([16]byte{2, byte(i), byte(i >> 8)})}
				if bench.shared {
					channels[i] = channels[i%10][:1]
				}
			}
			body := make([]byte, 256)
			post := func(to channel.ID) proto.ID {
				receipts, err := log.Append(b.Context(), &proto.Message{Receivers: []channel.ID{to}, Body: body, TTL: time.Hour})
				if err != nil {
					b.Fatal(err)
				}
				return receipts[0].ID
			}
			cursor := post(bob)
			follow(b, log, h)
			newest := cursor
			for n := range missed {
				for i := range channels {
					if !bench.shared || i < 10 {
						newest = post(channels[i][n%len(channels[i])])
					}
				}
			}
			for h.Head() != newest {
				time.Sleep(time.Millisecond)
			}
			before, cpu := count.n.Load(), server.CPU()
			b.ResetTimer()
			for range b.N {
				var all sync.WaitGroup
				for _, ids := range channels {
					all.Go(func() {
						wake := make(chan struct{}, 1)
						s := h.Attach(ids, &cursor, func() { wake <- struct{}{} })
						defer s.Detach()
						for got := 0; got < missed; {
							batch := s.Next()
							if got += len(batch.Messages); len(batch.Messages) == 0 {
								<-wake
							}
						}
					})
				}
				all.Wait()
			}
			b.StopTimer()
			b.ReportMetric(float64(count.n.Load()-before)/float64(b.N), "trips/op")
			b.ReportMetric(float64((server.CPU()-cpu).Milliseconds())/float64(b.N), "redis-ms/op")
		})
	}
}

// follow makes h follow a log, and waits until it does.
func follow(tb testing.TB, log Log, h *hub.Hub) {
	ctx, stop := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() { _ = log.Follow(ctx, h) })
	tb.Cleanup(func() {
		stop()
		following.Wait()
	})
	<-h.Synced()
}
