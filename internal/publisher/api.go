package publisher

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/rpc"
)

const (
	// maxCalls bounds the requests of one post. A portal splits by size only, and its calls are
	// never that short.
	maxCalls = 10_000
	// bytesPerCharacter multiplies the body limit: portals of version 5 count characters, not
	// bytes.
	bytesPerCharacter = 4
)

// api serves the posts of version 5: one call or many. By the specification none of them needs an
// answer, but each gets one, because PHP demands JSON. A refusal of the whole post is plain text,
// as elsewhere.
func (p *Publisher) api(w http.ResponseWriter, r *http.Request) {
	q := parseQuery(r.URL.RawQuery)
	t, no := p.tenantOfCall(q)
	if no != nil {
		p.logRefused(p.notices, r, no, clientRemedy)
		p.refuse(w, no)
		return
	}
	body, owner, no := t.readAPI(w, r, q)
	if no != nil {
		p.refuse(w, no)
		return
	}
	t.sample(r)
	batch, fault := rpc.Decode(bytes.ToValidUTF8(body, []byte("\uFFFD")), maxCalls)
	if fault != nil {
		p.metrics.refused[badCall].Inc()
		answerJSON(w, http.StatusOK, rpc.Fault(fault))
		return
	}
	// A portal may hang up without waiting for the answer; its messages are published all the same.
	ctx, end := p.begin(withKey(p.detached(r), r.Header, owner))
	defer end()
	replies, err := t.execute(ctx, batch.Calls)
	if err != nil {
		no := failure(err)
		p.metrics.refused[no].Inc()
		w.Header().Set("Retry-After", "1")
		answerJSON(w, no.status, rpc.Fault(rpc.ErrInternal))
		return
	}
	p.copied(ctx, w, r, body)
	answerJSON(w, http.StatusOK, batch.AppendAll(nil, replies))
}

// readAPI returns the body of a signed post and the owner of its idempotency key. Here every post
// needs a signature.
func (t *tenant) readAPI(w http.ResponseWriter, r *http.Request, q query) (body []byte, owner string, no *refusal) {
	no = refusalOf[proto.ErrRequestSignature]
	if q.signature == "" {
		leaveUnread(w)
		return nil, "", no
	}
	return t.readSigned(w, r, q, t.Limits.Payload*bytesPerCharacter, no)
}

// execute executes calls in order, except messages: they are appended all at once or not at all,
// because a portal that must retry repeats the whole post. The error is the log's.
func (t *tenant) execute(ctx context.Context, calls []rpc.Call) ([]rpc.Reply, error) {
	replies := make([]rpc.Reply, len(calls))
	var messages []*proto.Message
	var of []int // the call of each message
	for i, call := range calls {
		if call.Fault != nil {
			replies[i].Fault = call.Fault
			continue
		}
		var m *proto.Message
		var err error
		switch call.Method {
		case "publish":
			m, replies[i].Fault = t.callMessage(call.Params)
		case "getUsersLastSeen":
			replies[i], err = t.batches.LastSeen(ctx, call.Params)
			t.publisher.metrics.questions.Inc()
		case "updateUsersLastSeen":
			replies[i], err = t.setSeen(ctx, call.Params)
		case "revokeAccess", "restoreAccess":
			replies[i], err = t.revokeAccess(ctx, call)
		case "getRevokedAccess":
			replies[i], err = t.revokedAccess(ctx)
			t.publisher.metrics.questions.Inc()
		default:
			replies[i].Fault = rpc.ErrMethodNotFound
		}
		if err != nil {
			return nil, err
		}
		if replies[i].Fault != nil {
			t.publisher.metrics.refused[badCall].Inc()
		} else if m != nil {
			messages, of = append(messages, m), append(of, i)
		}
	}
	if len(messages) == 0 {
		return replies, nil
	}
	receipts, err := t.log.Append(ctx, messages...)
	if err != nil {
		return nil, err
	}
	for i, receipt := range receipts {
		if receipt.ID.IsZero() {
			t.publisher.metrics.refused[closed].Inc()
			replies[of[i]].Fault = rpc.ErrInvalidParams.With(proto.ErrChannelsClosed.Text)
			continue
		}
		t.tally.Request("publish")
		if !receipt.Repeated {
			t.tally.Message(messages[i].Type)
		}
		replies[of[i]].Result = json.RawMessage(`{"mid":"` + receipt.ID.String() + `"}`)
	}
	return replies, nil
}

// callMessage returns the message of a call.
func (t *tenant) callMessage(params json.RawMessage) (*proto.Message, *rpc.Error) {
	call, fault := rpc.ParsePublish(params)
	if fault != nil {
		return nil, fault
	}
	receivers, fault := t.callReceivers(call)
	if fault != nil {
		return nil, fault
	}
	body, personal, err := proto.Compose(call.Body, call.UserParams, call.Dictionary)
	if err != nil {
		return nil, rpc.ErrInvalidParams.With(err.Error())
	}
	body, typ, err := proto.CheckBody(body)
	if err != nil {
		return nil, rpc.ErrInvalidParams.With(err.Error())
	}
	if call.Type != "" {
		typ = proto.MessageType(call.Type)
	}
	m := &proto.Message{
		Receivers:  receivers,
		Sender:     proto.Sender{Type: proto.SenderBackend},
		Type:       typ,
		Body:       body,
		UserParams: personal,
		Created:    time.Now().Truncate(time.Microsecond),
	}
	if call.Expiry > 0 {
		m.TTL = t.publisher.config.Rules.TTL(typ, call.Expiry)
	}
	if len(personal) > proto.MaxUserParams {
		return nil, rpc.ErrInvalidParams.With("user_params of too many users")
	}
	return m, nil
}

// callReceivers returns the channels of a call and of its users. A user that is named in both ways
// gets the message once: a session drops what it gets again on another channel, by its id.
func (t *tenant) callReceivers(call rpc.Publish) ([]channel.ID, *rpc.Error) {
	refs := make([]channel.Ref, 0, len(call.Channels)+len(call.Users))
	for _, value := range call.Channels {
		var text string
		if json.Unmarshal(value, &text) != nil {
			return nil, rpc.ErrInvalidParams.With("channelList must contain strings")
		}
		parts, err := t.publisher.config.Grammar.ParseList(text, 1)
		if err != nil || !t.signed(parts) {
			return nil, rpc.ErrInvalidParams.With("channelList contains an invalid channel")
		}
		refs = append(refs, channel.Ref{Private: parts[0].Private})
	}
	for _, user := range call.Users {
		refs = append(refs, channel.Ref{Private: channel.ForUser(user)})
	}
	switch ids := channel.IDs(refs); {
	case len(ids) == 0:
		return nil, rpc.ErrInvalidParams.With(proto.ErrNoChannels.Text)
	case len(ids) > proto.MaxReceivers:
		return nil, rpc.ErrInvalidParams.With(proto.ErrTooManyChannels.Text)
	default:
		return ids, nil
	}
}

// setSeen stores what the portal knows of users whom this service has not seen. The error is the
// log's.
func (t *tenant) setSeen(ctx context.Context, params json.RawMessage) (rpc.Reply, error) {
	seen, fault := rpc.ParseSeen(params)
	if fault != nil {
		return rpc.Reply{Fault: fault}, nil
	}
	if err := t.log.SetSeen(ctx, seen...); err != nil {
		return rpc.Reply{}, err
	}
	t.tally.Request("updateUsersLastSeen")
	return rpc.Reply{}, nil
}

func answerJSON(w http.ResponseWriter, status int, text []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text) // an error means that the client has hung up
}
