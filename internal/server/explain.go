package server

import (
	"log/slog"
	"sync/atomic"

	"pushgate/internal/explain"
	"pushgate/internal/fleet"
	"pushgate/internal/portal"
	"pushgate/internal/store"
)

// served is which portals a process serves at present.
type served struct{ table atomic.Pointer[portal.Table] }

// SetPortals replaces the portals.
func (s *served) SetPortals(table *portal.Table) { s.table.Store(table) }

// newExplainer makes what answers questions about messages, over a store and all processes.
func newExplainer(st *store.Store, f *fleet.Fleet, portals *served, logger *slog.Logger) *explain.Explainer {
	return &explain.Explainer{
		Logs:    func(portal string) explain.Log { return st.Log(portal) },
		Past:    st.PastProcesses,
		Fleet:   f,
		Portals: portals.table.Load,
		Logger:  logger,
	}
}

// NewExplainer makes an explainer for a program that only asks, with the portals of a table.
func NewExplainer(st *store.Store, table *portal.Table, logger *slog.Logger) *explain.Explainer {
	var portals served
	portals.SetPortals(table)
	return newExplainer(st, fleet.New(st, "", logger), &portals, logger)
}
