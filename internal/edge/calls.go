package edge

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"pushgate/internal/channel"
	"pushgate/internal/command"
	"pushgate/internal/intake"
	"pushgate/internal/proto"
	"pushgate/internal/rpc"
	"pushgate/internal/transport"
)

const (
	// heartbeat is the longest time between two heartbeats. Once a client of version 5 has had
	// one, it considers the connection dead after 20 s without another.
	heartbeat = 10 * time.Second
	// maxCalls is how many calls one frame may hold.
	maxCalls = 100
	// maxStatuses is how many users one connection may wait for.
	maxStatuses = 1000
)

// How many times a second one connection, and all of a portal here, may ask when users were last
// seen, and how many times at once. A page asks now and then, for what it shows.
const (
	askRate, askBurst             = 5, 10
	portalAskRate, portalAskBurst = 200, 400
)

// What clients of version 5 send that is not JSON.
const (
	pongText  = "pong"
	ackPrefix = "mack:"
)

// calls is the state that only a subscriber of version 5 has. What mu does not guard is owned by
// the reader.
type calls struct {
	mu      sync.Mutex
	acked   proto.ID // newest that the client has acknowledged
	ackedAt int64    // unix microseconds

	statuses map[int64]struct{}
	asks     *rate.Limiter // nil until it asks for the first time
}

// receiveCalls handles a message of a client of version 5, and reports false if the message ends
// the connection. A faulty message does not: the reply has the error.
func (s *subscriber) receiveCalls(ctx context.Context, c *transport.WebSocket, text []byte) bool {
	switch word := string(text); {
	case word == pongText:
		c.Alive()
		return true
	case strings.HasPrefix(word, ackPrefix):
		s.acknowledge(word[len(ackPrefix):])
		return true
	}
	batch, fault := rpc.Decode(text, maxCalls)
	if fault != nil {
		s.edge.metrics.commands[commandRefused].Inc()
		return c.Reply(rpc.Fault(fault))
	}
	replies := make([]rpc.Reply, len(batch.Calls))
	for i, call := range batch.Calls {
		replies[i] = s.call(ctx, call)
	}
	answer := batch.Append(nil, replies)
	return answer == nil || c.Reply(answer)
}

// call carries out one call: itself if the call is about the connection, else by [Commands].
func (s *subscriber) call(ctx context.Context, call rpc.Call) rpc.Reply {
	reply, err := rpc.Reply{Fault: call.Fault}, error(nil)
	ours := true
	if call.Fault == nil {
		switch call.Method {
		case "ping":
		case "listChannels":
			reply.Result = s.listChannels()
		case "subscribeStatusChange":
			reply.Fault = s.watchStatus(call.Params)
		case "unsubscribeStatusChange":
			reply.Fault = s.unwatchStatus(call.Params)
		case "getUsersLastSeen":
			if ours = false; !s.mayAsk() {
				err = intake.ErrBusy
				break
			}
			fallthrough
		default:
			who := command.Caller{User: s.reader.User, Public: s.public}
			ours = false // it is counted elsewhere
			reply, err = s.tenant.serving.Load().commands.Call(ctx, who, call)
		}
	}
	switch {
	case errors.Is(err, intake.ErrBusy):
		s.edge.metrics.commands[commandBusy].Inc()
		reply.Fault = rpc.ErrInternal.With(proto.ErrTooManyMessages.Text)
	case err != nil:
		s.edge.metrics.commands[commandFailed].Inc()
		s.tenant.commandFailed(&s.tenant.callLog, "client's call failed", err, "method", call.Method)
		reply.Fault = rpc.ErrInternal
	case reply.Fault != nil:
		s.edge.metrics.commands[commandRefused].Inc()
	default:
		s.edge.metrics.commands[commandDone].Inc()
		if ours {
			s.tenant.tally.Request(call.Method)
		}
	}
	return reply
}

// mayAsk counts a question for when users were last seen, and reports whether the client may ask
// it. It is called by the reader only.
func (s *subscriber) mayAsk() bool {
	if s.calls.asks == nil {
		s.calls.asks = rate.NewLimiter(askRate, askBurst)
	}
	return s.calls.asks.Allow() && s.tenant.asks.Allow()
}

// listChannels returns the ids that the client got from its portal. The channel of its user is not
// among them.
func (s *subscriber) listChannels() json.RawMessage {
	list := make([]string, 0, len(s.reader.Channels))
	for _, id := range s.reader.Channels {
		if public, ok := id.PublicID(); ok {
			id = public
		}
		if !id.IsReserved() {
			list = append(list, id.String())
		}
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(err) // strings always encode
	}
	return text
}

func (s *subscriber) watchStatus(params json.RawMessage) *rpc.Error {
	user, fault := rpc.ParseUser(params)
	if fault != nil {
		return fault
	}
	if _, ok := s.calls.statuses[user]; !ok && len(s.calls.statuses) == maxStatuses {
		return rpc.ErrInvalidParams.With("too many users")
	}
	s.watchUser(user)
	return nil
}

func (s *subscriber) watchUser(user int64) {
	if s.calls.statuses == nil {
		s.calls.statuses = make(map[int64]struct{})
	}
	s.calls.statuses[user] = struct{}{}
	s.session.Watch(channel.StatusOf(user))
}

func (s *subscriber) unwatchStatus(params json.RawMessage) *rpc.Error {
	user, fault := rpc.ParseUser(params)
	if fault != nil {
		return fault
	}
	delete(s.calls.statuses, user)
	s.session.Unwatch(channel.StatusOf(user))
	return nil
}
