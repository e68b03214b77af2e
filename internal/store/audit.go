package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"pushgate/internal/proto"
)

// auditKey holds the audit log of all processes.
const auditKey = "pg:audit"

// MaxActs is how many acts the audit log keeps.
const MaxActs = 10_000

// RecordAct adds an act to the audit log, which keeps the newest [MaxActs].
func (s *Store) RecordAct(ctx context.Context, act proto.Act) error {
	text, err := json.Marshal(act)
	if err != nil {
		return fmt.Errorf("encode an entry of the audit log: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	if err := run(ctx, s.rdb, auditScript, auditKey, MaxActs, text).Err(); err != nil {
		return fmt.Errorf("write to the audit log: %w", err)
	}
	return nil
}

// Acts returns the newest n acts of the audit log, the newest first. What does not decode is left
// out.
func (s *Store) Acts(ctx context.Context, n int) ([]proto.Act, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	texts, err := run(ctx, s.rdb, auditsScript, auditKey, n).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	acts := make([]proto.Act, 0, len(texts))
	for _, text := range slices.Backward(texts) {
		var act proto.Act
		if json.Unmarshal([]byte(text), &act) == nil {
			acts = append(acts, act)
		}
	}
	return acts, nil
}
