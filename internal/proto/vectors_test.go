package proto_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"pushgate/internal/proto"
	"pushgate/internal/testkit"
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
			packed := (&proto.Message{ID: id}).Binary().Payload()
			if !strings.Contains(hex.EncodeToString(packed), "0a0d"+c.Packed) {
				t.Errorf("packed into %x", packed)
			}
			if c.NumericID != nil && id.Sequence != *c.NumericID {
				t.Errorf("sequence %d, want %d", id.Sequence, *c.NumericID)
			}
		})
	}
}

func TestTextFrames(t *testing.T) {
	for _, c := range vectors.Load(t).TextFrames {
		t.Run(c.MID, func(t *testing.T) {
			id, err := proto.ParseID(c.MID)
			if err != nil {
				t.Fatal(err)
			}
			body, _, err := proto.CheckBody([]byte(c.Body))
			if err != nil {
				t.Fatal(err)
			}
			m := &proto.Message{ID: id, Body: body, Created: time.UnixMilli(c.CreatedMS).In(time.FixedZone("elsewhere", 3*3600))}
			for _, text := range c.Channels {
				m.Receivers = append(m.Receivers, testkit.ParseChannel(text))
			}
			if got := string(m.Text(0).Payload()); got != c.Frame {
				t.Errorf("frame\n%s, want\n%s", got, c.Frame)
			}
		})
	}
}
