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

// Log is the portal's log, as both use it.
type Log interface {
	edge.Log
	publisher.Log
}

// Stats are the statistics of the processes, as both use them.
type Stats interface {
	edge.Stats
	publisher.Stats
}

// Start runs an edge and a publisher on a log until the test ends. It returns when the edge is
// ready. The portal signs with key. Start sets the id and the origins of config. Every client of
// the loopback may post.
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
	// A long time-out: tests that use this package are not about slow answers.
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
