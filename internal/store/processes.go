package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"pushgate/internal/proto"
)

// processesKey holds the statistics of all processes, of all portals.
const processesKey = "pg:processes"

// PutProcess publishes a process's statistics under its id, for ProcessLease. They replace those
// that it published before.
func (s *Store) PutProcess(ctx context.Context, p proto.Process) error {
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode statistics: %w", err)
	}
	if err := run(ctx, s.rdb, putProcessScript, processesKey, p.ID, ProcessLease.Milliseconds(), text).Err(); err != nil {
		return fmt.Errorf("write statistics of process %q: %w", p.ID, err)
	}
	return nil
}

// DropProcess withdraws a process's statistics. If there are none, it does nothing.
func (s *Store) DropProcess(ctx context.Context, id string) error {
	if err := s.rdb.HDel(ctx, processesKey, id).Err(); err != nil {
		return fmt.Errorf("withdraw statistics of process %q: %w", id, err)
	}
	return nil
}

// Processes returns the statistics of all processes whose lease holds, in the order of their ids.
// What does not decode is left out.
func (s *Store) Processes(ctx context.Context) ([]proto.Process, error) {
	texts, err := run(ctx, s.rdb, processesScript, processesKey).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("read statistics of processes: %w", err)
	}
	processes := make([]proto.Process, 0, len(texts))
	for _, text := range texts {
		var p proto.Process
		if json.Unmarshal([]byte(text), &p) == nil {
			processes = append(processes, p)
		}
	}
	slices.SortFunc(processes, func(a, b proto.Process) int { return cmp.Compare(a.ID, b.ID) })
	return processes, nil
}
