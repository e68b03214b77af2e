package storetest

import (
	"context"
	"maps"
	"time"

	"pushgate/internal/revoke"
)

// Revoke puts out an entry. Its notification is lost, always: followers read again by themselves.
func (m *Memory) Revoke(ctx context.Context, entry revoke.Entry, until time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fault(ctx); err != nil {
		return err
	}
	if m.revoked == nil {
		m.revoked = make(revoke.List)
	}
	m.revoked[entry] = until
	return nil
}

// Lift takes an entry back.
func (m *Memory) Lift(ctx context.Context, entry revoke.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fault(ctx); err != nil {
		return err
	}
	delete(m.revoked, entry)
	return nil
}

// Revocations returns the entries.
func (m *Memory) Revocations(ctx context.Context) (revoke.List, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fault(ctx); err != nil {
		return nil, err
	}
	return maps.Clone(m.revoked), nil
}
