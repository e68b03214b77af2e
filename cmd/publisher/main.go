// Command publisher takes the posts of portals into the log.
package main

import (
	"context"
	"os"

	"pushgate/internal/config"
	"pushgate/internal/ops"
	"pushgate/internal/publisher"
	"pushgate/internal/store"
)

func main() {
	cfg, err := config.LoadPublisher(os.Environ())
	if err != nil {
		os.Exit(ops.Refuse(err))
	}
	logger := ops.NewLogger(os.Stderr, cfg.LogFormat, cfg.LogLevel)
	os.Exit(ops.Main(logger, func(ctx context.Context) error {
		rdb, err := store.Open(cfg.RedisURL)
		if err != nil {
			return err
		}
		defer rdb.Close()
		registry := ops.NewRegistry()
		st := store.New(rdb, store.Config{ChannelCap: cfg.ChannelCap, WriteWindow: cfg.WriteWindow, Replicas: cfg.Replicas,
			Damaged: ops.DamagedRecords(registry, logger)})
		p := publisher.New(publisher.Config{
			Signer:     cfg.Signer,
			Grammar:    cfg.Grammar,
			HostID:     cfg.HostID,
			Rules:      cfg.TTLRules,
			Allow:      cfg.Allow,
			Signed:     cfg.Signed,
			MaxPayload: cfg.MaxPayload,

			MaxMessages: cfg.MaxMessages,
			MaxChannels: cfg.MaxChannels,
		}, st.Log("default"), st, logger, registry)
		return ops.Service{
			Name: "publisher", Listen: cfg.Listen, AdminListen: cfg.AdminListen, Handler: p.Handler(), Ready: p.Ready,
			Registry: registry, Logger: logger,
		}.Serve(ctx)
	}))
}
