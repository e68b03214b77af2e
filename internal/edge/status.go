package edge

import (
	"context"
	"slices"
	"strconv"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// announceBatch is how many changes of users are published in one append.
const announceBatch = 256

// announce publishes which users have come online or gone offline, for the sessions of all edges
// that watch them. Only the edge whose write made the difference publishes it, so it is published
// once.
func (t *tenant) announce(ctx context.Context, moved []proto.Status) {
	for some := range slices.Chunk(moved, announceBatch) {
		now := time.Now()
		messages := make([]*proto.Message, len(some))
		for i, s := range some {
			messages[i] = statusMessage(s, now)
		}
		if _, err := t.log.Append(ctx, messages...); err != nil && ctx.Err() == nil {
			t.edge.metrics.presenceErrors.Inc()
			t.edge.logger.Warn("publishing online statuses failed", "users", len(moved), "error", err)
			return
		}
	}
}

// statusMessage returns a transient message: a client that subscribes later asks for the present
// status. It always has a time, because readers drop the message without one.
func statusMessage(s proto.Status, now time.Time) *proto.Message {
	body := strconv.AppendInt([]byte(`{"module_id":"online","command":"userStatusChange","params":{"user_id":`), s.User, 10)
	body = strconv.AppendBool(append(body, `,"online":`...), s.Online)
	body = append(body, `},"extra":{"server_time_unix":`...)
	body = strconv.AppendFloat(body, float64(now.UnixMicro())/1e6, 'f', 6, 64)
	return &proto.Message{
		Receivers: []channel.ID{channel.StatusOf(s.User)},
		Sender:    proto.Sender{Type: proto.SenderBackend},
		Type:      "online_userStatusChange",
		Body:      append(body, "}}"...),
		Created:   now.Truncate(time.Microsecond),
	}
}
