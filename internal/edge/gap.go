package edge

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"pushgate/internal/hub"
	"pushgate/internal/loglimit"
	"pushgate/internal/proto"
	"pushgate/internal/wire"
)

// gapSpread is the window over which pages that learn of a gap reload from the portal, so that they
// do not all come at once.
const gapSpread = time.Minute

// withNote returns the messages of a batch, with the note of its gap among them if it has one. The
// known clients pass the note only to code that has subscribed to its module, so it costs the
// portal nothing unless a page wants it to.
func (t *tenant) withNote(reader *wire.Reader, batch hub.Batch) []*proto.Message {
	if batch.Gap == nil {
		return batch.Messages
	}
	t.gapLog.note(t.edge.logger, t.name, batch.Gap)
	t.edge.metrics.portalCalls.add(t.serving.Load(), callGapNote, 1)
	all := slices.Clone(batch.Messages) // the session's memory is its own
	return slices.Insert(all, batch.Gap.Index, gapNote(reader, batch.Gap, time.Now()))
}

// gapNote makes the note (docs/protocol.md, Gaps). It is a message to this reader alone, because
// each reader gets another time to wait before it reloads.
func gapNote(reader *wire.Reader, gap *hub.Gap, now time.Time) *proto.Message {
	body := append(make([]byte, 0, 256), `{"module_id":"pushgate","command":"gap","params":{"after":"`...)
	body, _ = gap.After.AppendText(body)
	body = append(body, `","before":"`...)
	body, _ = gap.Before.AppendText(body)
	body = append(body, `","spread":`...)
	body = strconv.AppendFloat(body, rand.Float64()*gapSpread.Seconds(), 'f', 3, 64)
	body = append(body, `},"extra":{"server_time_unix":`...)
	body = strconv.AppendFloat(body, float64(now.UnixMicro())/1e6, 'f', 6, 64)
	return &proto.Message{
		ID:        gap.ID,
		Receivers: reader.Channels[:1],
		Sender:    proto.Sender{Type: proto.SenderBackend},
		Type:      wire.GapType,
		Body:      append(body, "}}"...),
		Created:   now.Truncate(time.Microsecond),
		Received:  now,
	}
}

// gapLog logs the gaps of one portal, but not each of them: when Redis loses data, every session
// has one. Its method may be called concurrently.
type gapLog struct{ limiter loglimit.Limiter }

// note counts a gap, and logs it unless the last line is too young. The metric counts all.
func (g *gapLog) note(logger *slog.Logger, portal string, gap *hub.Gap) {
	if gaps, due := g.limiter.Count(time.Now()); due {
		logger.Warn("history is incomplete", "portal", portal, "gaps", gaps, "after", gap.After, "before", gap.Before)
	}
}
