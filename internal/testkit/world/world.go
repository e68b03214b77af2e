// Package world runs an edge and a publisher in the process of a test.
package world

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/edge"
	"pushgate/internal/portal"
	"pushgate/internal/publisher"
	"pushgate/internal/testkit"
)

// World is an edge and a publisher of one portal, on listeners of the loopback.
type World struct {
	Edge, Publisher *httptest.Server
	Metrics         *prometheus.Registry // of the edge
}

// Log is what both need of the portal's log.
type Log interface {
	edge.Log
	publisher.Log
}

// Stats is what both need of the statistics.
type Stats interface {
	edge.Stats
	publisher.Stats
}

// Start runs both over a log until the test ends, and returns when the edge is ready. The portal
// has that key. Of config, the id and the origins need not be set. Every client of the loopback may
// post.
func Start(t testing.TB, key string, log Log, stats Stats, config edge.Config) *World {
	t.Helper()
	config.ID, config.Origins = "edge-1", []string{"*"}
	portals, err := portal.NewTable(&portal.Portal{Signer: testkit.Signer(key),
		Limits: portal.Limits{Payload: 1 << 20, Messages: 100, Channels: 100, Posts: 100}})
	if err != nil {
		t.Fatal(err)
	}
	w, quiet := &World{Metrics: prometheus.NewRegistry()}, slog.New(slog.DiscardHandler)
	e := edge.New(config, portals, func(string) edge.Log { return log }, stats, quiet, w.Metrics)
	// Nothing here is about how soon an answer comes.
	p := publisher.New(publisher.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Timeout: 20 * time.Second},
		portals, func(string) publisher.Log { return log }, stats, quiet, prometheus.NewRegistry())
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := e.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	w.Edge, w.Publisher = httptest.NewServer(e.Handler()), httptest.NewServer(p.Handler())
	t.Cleanup(func() {
		stop()
		running.Wait()
		for _, server := range []*httptest.Server{w.Edge, w.Publisher} {
			server.CloseClientConnections()
			server.Close()
		}
	})
	testkit.Eventually(t, "the edge is ready", func() bool { return e.Ready() == nil })
	return w
}
