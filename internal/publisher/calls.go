package publisher

import (
	"bytes"
	"context"
	"net/http"

	"pushgate/internal/channel"
	"pushgate/internal/command"
	"pushgate/internal/proto"
	"pushgate/internal/rpc"
)

// maxClientCalls is how many calls a client may put into one post, as into one frame of a WebSocket.
const maxClientCalls = 100

// ackPrefix begins what a client says of a message that it has processed.
const ackPrefix = "mack:"

// clientText carries out what a client of version 5 posts while it is on long polls: there it says by posts what it says by WebSocket
// otherwise. It reports false, and does nothing, if the body is a batch, which begins with none of these characters.
//
// Who the client is stands in its list of ids, so that it has a public id at most and is no user.
func (t *tenant) clientText(ctx context.Context, w http.ResponseWriter, public channel.ID, body []byte) bool {
	p := t.publisher
	if mid, ok := bytes.CutPrefix(body, []byte(ackPrefix)); ok {
		if _, err := proto.ParseID(string(mid)); err == nil {
			p.metrics.acks.Inc()
		}
		answer(w, http.StatusOK, "")
		return true
	}
	if len(body) == 0 || body[0] != '[' && body[0] != '{' {
		return false
	}
	batch, fault := rpc.Decode(bytes.ToValidUTF8(body, []byte("\uFFFD")), maxClientCalls)
	if fault != nil {
		p.metrics.refused[badCall].Inc()
		answerJSON(w, http.StatusOK, rpc.Fault(fault))
		return true
	}
	replies := make([]rpc.Reply, len(batch.Calls))
	for i, call := range batch.Calls {
		var err error
		if replies[i], err = t.batches.Call(ctx, command.Caller{Public: public}, call); err != nil {
			p.metrics.refused[failure(err)].Inc()
			replies[i].Fault = rpc.ErrInternal
		} else if replies[i].Fault != nil {
			p.metrics.refused[badCall].Inc()
		}
	}
	answerJSON(w, http.StatusOK, batch.AppendAll(nil, replies))
	return true
}
