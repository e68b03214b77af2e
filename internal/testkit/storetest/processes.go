package storetest

import (
	"context"
	"maps"
	"slices"

	"pushgate/internal/proto"
	"pushgate/internal/store"
)

// PutProcess does the same as [store.Store.PutProcess].
func (m *Memory) PutProcess(ctx context.Context, p proto.Process) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fault(ctx); err != nil {
		return err
	}
	m.stats[p.ID] = process{p, m.now().Add(store.ProcessLease)}
	return nil
}

// DropProcess does the same as [store.Store.DropProcess].
func (m *Memory) DropProcess(ctx context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fault(ctx); err != nil {
		return err
	}
	delete(m.stats, id)
	return nil
}

// Processes does the same as [store.Store.Processes].
func (m *Memory) Processes(ctx context.Context) ([]proto.Process, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fault(ctx); err != nil {
		return nil, err
	}
	now := m.now()
	maps.DeleteFunc(m.stats, func(_ string, p process) bool { return !now.Before(p.ends) })
	processes := make([]proto.Process, 0, len(m.stats))
	for _, id := range slices.Sorted(maps.Keys(m.stats)) {
		processes = append(processes, m.stats[id].stats)
	}
	return processes, nil
}
