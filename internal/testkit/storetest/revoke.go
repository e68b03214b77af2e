package storetest

import (
	"cmp"
	"context"
	"maps"
	"time"

	"pushgate/internal/proto"
	"pushgate/internal/revoke"
	"pushgate/internal/store"
)

// revoked is what the portal has put out. Memory.mu guards it.
type revoked struct {
	list    revoke.List
	version proto.ID
	err     error // of every read
}

// Revoke does the same as [store.Log.Revoke].
func (m *Memory) Revoke(ctx context.Context, entry revoke.Entry, until time.Time) error {
	return m.changeRevoked(ctx, revoke.Note{Entry: entry, Until: until.Unix()})
}

// Lift does the same as [store.Log.Lift].
func (m *Memory) Lift(ctx context.Context, entry revoke.Entry) error {
	return m.changeRevoked(ctx, revoke.Note{Entry: entry})
}

func (m *Memory) changeRevoked(ctx context.Context, note revoke.Note) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fault(ctx); err != nil {
		return err
	}
	if m.revoked.list == nil {
		m.revoked.list = make(revoke.List)
	}
	m.revoked.list.Prune(m.now())
	if _, ok := m.revoked.list[note.Entry]; !ok && note.Until != 0 && len(m.revoked.list) >= revoke.MaxEntries {
		return revoke.ErrFull
	}
	m.revoked.list.Apply(note)
	m.raise(m.known)
	m.head.Sequence++
	m.known, m.revoked.version = m.head, m.head
	m.put(m.head, store.RevocationMessage(note, m.now()), m.now())
	return nil
}

// Revocations does the same as [store.Log.Revocations].
func (m *Memory) Revocations(ctx context.Context, known proto.ID) (revoke.List, proto.ID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := cmp.Or(m.revoked.err, m.fault(ctx)); err != nil {
		return nil, proto.ID{}, err
	}
	if m.revoked.version == known {
		return nil, known, nil
	}
	list := make(revoke.List)
	maps.Copy(list, m.revoked.list)
	list.Prune(m.now())
	return list, m.revoked.version, nil
}

// SetRevoked replaces what the portal has put out, as if the log were restored: no follower is
// notified.
func (m *Memory) SetRevoked(list revoke.List) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.raise(m.known)
	m.revoked.list, m.revoked.version = list, proto.ID{Epoch: m.head.Epoch + 1}
}

// FailRevocations makes Revocations return err. With nil, it works again.
func (m *Memory) FailRevocations(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revoked.err = err
}

// RevokedAny does the same as [store.Log.RevokedAny].
func (m *Memory) RevokedAny(ctx context.Context, entries ...revoke.Entry) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fault(ctx); err != nil {
		return false, err
	}
	for _, e := range entries {
		if m.now().Unix() < m.revoked.list[e] {
			return true, nil
		}
	}
	return false, nil
}
