package proto_test

import (
	"testing"

	"pushgate/internal/proto"
	"pushgate/internal/vectors"
)

func TestMID(t *testing.T) {
	for _, c := range vectors.Load(t).MIDs {
		t.Run(c.MID, func(t *testing.T) {
			id, err := proto.ParseID(c.MID)
			if (err == nil) != c.Accepted {
				t.Fatalf("ParseID = %v, %v; want accepted = %t", id, err, c.Accepted)
			}
			if !c.Accepted {
				return
			}
			if id.String() != c.MID {
				t.Errorf("written as %s", id)
			}
			if c.NumericID != nil && id.Sequence != *c.NumericID {
				t.Errorf("sequence %d, want %d", id.Sequence, *c.NumericID)
			}
		})
	}
}
