package server

import (
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/admin"
	"pushgate/internal/config"
	"pushgate/internal/console"
	"pushgate/internal/store"
)

// settings are those of a program: [config.Edge], [config.Publisher] or [config.Serve].
type settings interface{ Base() config.Common }

// newGuard makes the guard of the admin port of a program that runs with some settings. leave ends
// the service.
func newGuard(cfg settings, st *store.Store, leave func(error), level *slog.LevelVar, logger *slog.Logger, registry prometheus.Registerer, routes ...admin.Route) *admin.Guard {
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
		Settings: config.Settings(cfg),
		Drain:    func(who string) { leave(fmt.Errorf("%s has asked for it by the admin port", who)) },
		Routes:   append(console.Routes(), routes...),
	}, registry)
}
