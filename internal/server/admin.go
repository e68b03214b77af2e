package server

import (
	"fmt"
	"log/slog"
	"os"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/admin"
	"pushgate/internal/config"
	"pushgate/internal/console"
	"pushgate/internal/fleet"
	"pushgate/internal/history"
	"pushgate/internal/store"
)

// settings are those of a program: [config.Edge], [config.Publisher] or [config.Serve].
type settings interface{ Base() config.Common }

// operated is what operators can see of a process and make it do.
type operated struct {
	fleet   *fleet.Fleet
	portals *portals
	revoked *revocations
	status  status
	leave   func(error) // ends the service
}

// newGuard makes the guard of the admin port of a program that runs with some settings.
func newGuard(cfg settings, st *store.Store, o operated, level *slog.LevelVar, logger *slog.Logger, registry prometheus.Registerer, routes ...admin.Route) *admin.Guard {
	common := cfg.Base()
	tokens := make([]admin.Token, len(common.AdminTokens))
	for i, token := range common.AdminTokens {
		tokens[i] = admin.Token{Name: token.Name, Role: admin.View, Secret: token.Secret}
		if token.Act {
			tokens[i].Role = admin.Act
		}
	}
	return admin.NewGuard(admin.Config{
		Process:  common.ID,
		Tokens:   tokens,
		Hosts:    common.AdminHosts,
		Audit:    st,
		Level:    level,
		Logger:   logger,
		Fleet:    o.fleet,
		Status:   o.status.get,
		Settings: config.Settings(cfg),
		Routes: slices.Concat(console.Routes(), o.revoked.routes(), []admin.Route{
			{Pattern: "GET /admin/history", Role: admin.Open, Handler: history.Handler(st, logger)},
			{Pattern: "GET /admin/portals", Role: admin.Open, Handler: o.portals},
			{Pattern: "GET /admin/redis", Role: admin.View, Handler: redisHandler(st, logger)},
			doctorRoute(os.Environ()),
		}, routes),
		Drain: func(who string) { o.leave(fmt.Errorf("%s has asked for it by the admin port", who)) },
	}, registry)
}
