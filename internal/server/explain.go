package server

import (
	"log/slog"

	"pushgate/internal/explain"
	"pushgate/internal/fleet"
	"pushgate/internal/portal"
	"pushgate/internal/store"
)

// newExplainer makes what answers questions about messages, over a store and all processes. portals
// returns those that are served at present.
func newExplainer(st *store.Store, f *fleet.Fleet, portals func() *portal.Table, logger *slog.Logger) *explain.Explainer {
	return &explain.Explainer{
		Logs:    func(portal string) explain.Log { return st.Log(portal) },
		Past:    st.PastProcesses,
		Fleet:   f,
		Portals: portals,
		Logger:  logger,
	}
}

// NewExplainer makes an explainer for a program that only asks, with the portals of a table.
func NewExplainer(st *store.Store, table *portal.Table, logger *slog.Logger) *explain.Explainer {
	return newExplainer(st, fleet.New(st, "", logger), func() *portal.Table { return table }, logger)
}
