package proto_test

import (
	"net/http"
	"testing"

	"pushgate/internal/proto"
)

func TestErrors(t *testing.T) {
	for _, e := range []*proto.Error{proto.ErrWrongChannel, proto.ErrNoChannels, proto.ErrTooManyChannels, proto.ErrNoChannelID, proto.ErrChannelID, proto.ErrEmptyPost, proto.ErrFrameMarker, proto.ErrChannelsClosed} {
		if e.Status() != http.StatusBadRequest || e.Error() != e.Text {
			t.Errorf("%v: status %d", e, e.Status())
		}
	}
	if got := proto.ErrTooManyConnections.Status(); got != http.StatusTooManyRequests {
		t.Errorf("too many connections: %d", got)
	}
}
