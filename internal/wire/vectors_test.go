package wire_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"pushgate/internal/proto"
	"pushgate/internal/testkit"
	"pushgate/internal/vectors"
	"pushgate/internal/wire"
)

func TestPackedMID(t *testing.T) {
	for _, c := range vectors.Load(t).MIDs {
		if !c.Accepted {
			continue
		}
		id, err := proto.ParseID(c.MID)
		if err != nil {
			t.Fatal(err)
		}
		packed := wire.BinaryFrame(&proto.Message{ID: id}).Payload()
		if !strings.Contains(hex.EncodeToString(packed), "0a0d"+c.Packed) {
			t.Errorf("%s is packed into %x", c.MID, packed)
		}
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
			if got := string(wire.TextFrame(m, 0).Payload()); got != c.Frame {
				t.Errorf("frame\n%s, want\n%s", got, c.Frame)
			}
		})
	}
}
