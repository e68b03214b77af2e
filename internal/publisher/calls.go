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

// maxClientCalls bounds the calls of one post of a client, as of one frame of a WebSocket.
const maxClientCalls = 100

// ackPrefix begins a client's acknowledgement of a message that it has processed.
const ackPrefix = "mack:"

// clientText carries out the post of a client of version 5 on long polls, which posts what it would
// otherwise send by WebSocket. It returns false, and does nothing, if the body is a batch, which
// begins with none of these characters.
//
// The list of ids identifies the client, so it has at most a public id and is not a user.
func (t *tenant) clientText(ctx context.Context, w http.ResponseWriter, r *http.Request, public channel.ID, body []byte) bool {
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
	p.copied(ctx, w, r, body)
	answerJSON(w, http.StatusOK, batch.AppendAll(nil, replies))
	return true
}
