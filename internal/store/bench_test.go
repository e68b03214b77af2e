package store_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/store"
	"pushgate/internal/testkit/storetest"
)

// BenchmarkAppend reports, beside the time of one append, the processor time that the server takes
// for it.
func BenchmarkAppend(b *testing.B) {
	server := storetest.StartRedis(b)
	l := store.New(open(b, server.URL()), store.Config{Timeout: 5 * time.Second}).Log("default")
	body := string(make([]byte, 256))
	append := func(n int) {
		if _, err := l.Append(context.Background(), msg(time.Minute, body, ch(byte(n)))); err != nil {
			b.Error(err)
		}
	}
	used := func(b *testing.B, before time.Duration) {
		b.ReportMetric(float64((server.CPU()-before).Nanoseconds())/float64(b.N), "redis-ns/op")
	}
	b.Run("serial", func(b *testing.B) {
		before := server.CPU()
		for n := 0; b.Loop(); n++ {
			append(n)
		}
		used(b, before)
	})
	for _, publishers := range []int{16, 64} {
		b.Run(fmt.Sprint(publishers, " publishers"), func(b *testing.B) {
			b.SetParallelism(publishers / 2) // times GOMAXPROCS, 2 where the project is measured
			b.ReportAllocs()
			before := server.CPU()
			b.RunParallel(func(pb *testing.PB) {
				for n := 0; pb.Next(); n++ {
					append(n)
				}
			})
			used(b, before)
		})
	}
}

// BenchmarkAppendToEdges reports what notifications cost Redis by the number of edges that follow
// the portal. Their links only read: what edges make of it is another figure.
func BenchmarkAppendToEdges(b *testing.B) {
	for _, edges := range []int{0, 1, 4, 16, 64} {
		b.Run(fmt.Sprint(edges), func(b *testing.B) {
			server := storetest.StartRedis(b)
			l := store.New(open(b, server.URL()), store.Config{Timeout: 5 * time.Second}).Log("default")
			var listening sync.WaitGroup
			defer listening.Wait()
			for range edges {
				conn, err := net.Dial("tcp", server.Addr())
				if err != nil {
					b.Fatal(err)
				}
				defer conn.Close()
				fmt.Fprintf(conn, "SUBSCRIBE pg:{default}:notify\r\n")
				listening.Go(func() { io.Copy(io.Discard, conn) })
			}
			body := string(make([]byte, 256))
			b.SetParallelism(32)
			before := server.CPU()
			b.RunParallel(func(pb *testing.PB) {
				for n := 0; pb.Next(); n++ {
					if _, err := l.Append(context.Background(), msg(time.Minute, body, ch(byte(n)))); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64((server.CPU()-before).Nanoseconds())/float64(b.N), "redis-ns/op")
		})
	}
}

func BenchmarkHistory(b *testing.B) {
	server := storetest.StartRedis(b)
	l := store.New(open(b, server.URL()), store.Config{PageMessages: 1000, PageBytes: 8 << 20}).Log("default")
	body := string(make([]byte, 256))
	ids := make([]proto.ID, 2000)
	for i := range ids {
		ids[i] = post(b, l, msg(time.Hour, body, ch(byte(i%2))))
	}
	for _, n := range []int{0, 10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			after := ids[len(ids)-1-n]
			for b.Loop() {
				p, err := l.History(b.Context(), []channel.ID{ch(0), ch(1), ch(2)}, after)
				if err != nil || len(p.Messages) != n {
					b.Fatal(len(p.Messages), err)
				}
			}
		})
	}
}

func BenchmarkRecord(b *testing.B) {
	m := msg(time.Hour, string(make([]byte, 256)), ch(1), ch(2))
	record := proto.AppendRecord(nil, m)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			record = proto.AppendRecord(record[:0], m)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := proto.DecodeRecord(proto.ID{Epoch: 1, Sequence: 2}, record); err != nil {
				b.Fatal(err)
			}
		}
	})
}
