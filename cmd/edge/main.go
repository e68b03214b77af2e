// Command edge holds the connections of subscribers and delivers to them.
package main

import (
	"context"
	"os"
	"time"

	"pushgate/internal/command"
	"pushgate/internal/config"
	"pushgate/internal/edge"
	"pushgate/internal/ops"
	"pushgate/internal/store"
)

func main() {
	cfg, err := config.LoadEdge(os.Environ())
	if err != nil {
		os.Exit(ops.Refuse(err))
	}
	logger := ops.NewLogger(os.Stderr, cfg.LogFormat, cfg.LogLevel)
	os.Exit(ops.Main(logger, func(ctx context.Context) error {
		ops.CollectAt(edge.GCPercent)
		rdb, err := store.Open(cfg.RedisURL)
		if err != nil {
			return err
		}
		defer rdb.Close()
		registry := ops.NewRegistry()
		st := store.New(rdb, store.Config{ChannelCap: cfg.ChannelCap, WriteWindow: cfg.WriteWindow, Damaged: ops.DamagedRecords(registry, logger)})
		log := st.Log("default")
		e := edge.New(edge.Config{
			ID:           cfg.ID,
			Signer:       cfg.Signer,
			Grammar:      cfg.Grammar,
			HostID:       cfg.HostID,
			PollTimeout:  cfg.PollTimeout,
			PingInterval: cfg.PingInterval,
			MaxPayload:   cfg.MaxPayload,
			Drain:        cfg.Drain,
			Origins:      cfg.Origins,

			MaxConnections: cfg.MaxConnections,
			Commands: command.New(command.Config{Signer: cfg.Signer, Rules: cfg.TTLRules, MaxPayload: cfg.MaxPayload,
				MaxMessages: cfg.MaxMessages, MaxChannels: cfg.MaxChannels}, log, st),
		}, log, st, logger, registry)
		return ops.Service{
			Name: "edge", Listen: cfg.Listen, AdminListen: cfg.AdminListen, Handler: e.Handler(), Ready: e.Ready, Run: e.Run,
			Drain: e.Drain, DrainTimeout: cfg.Drain + closeHandshake, Registry: registry, Logger: logger,
		}.Serve(ctx)
	}))
}

// closeHandshake is how long a client that was told to go may take to say so too.
const closeHandshake = 6 * time.Second
