package edge

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"pushgate/internal/channel"
	"pushgate/internal/command"
	"pushgate/internal/intake"
	"pushgate/internal/proto"
	"pushgate/internal/rpc"
)

const (
	// heartbeat is the longest time between two heartbeats. Once a client of version 5 has had one, it takes 20 s without for a dead
	// connection.
	heartbeat = 10 * time.Second
	// maxCalls is how many calls one frame may hold.
	maxCalls = 100
	// maxStatuses is how many users one connection may wait for.
	maxStatuses = 1000
)

// How many times a second one connection, and all of a portal here, may ask who was last seen when, and how many times at once. A page asks
// now and then, for what it shows.
const (
	askRate, askBurst             = 5, 10
	portalAskRate, portalAskBurst = 200, 400
)

// The words of version 5 that are not JSON.
const (
	pongText  = "pong"
	ackPrefix = "mack:"
)

var heartbeatFrame = proto.NewFrame(proto.OpText, []byte("ping")).WebSocket()

// rpcState is what a WebSocket of version 5 has more than others.
type rpcState struct {
	late         atomic.Bool  // the writer is to send a heartbeat: it was busy when one was due
	beatingSince atomic.Int64 // unix nanoseconds when the heartbeat under way began; 0 if none is
	turns        int          // visits since the last heartbeat; owned by the wheel

	// Owned by the reader.
	acked    proto.ID // newest that the client has acknowledged
	statuses map[int64]struct{}
	asks     *rate.Limiter // nil until it asks for the first time
}

// beat sends a heartbeat when it is time. Heartbeats do not wait for the writer, who may be reading the log for as long as Redis is
// away, while the client would take the silence for a dead connection: they are written apart, as the library's control frames are.
func (c *wsConn) beat(now time.Time) {
	if since := c.rpc.beatingSince.Load(); since != 0 {
		if now.UnixNano()-since > int64(writeTimeout) {
			c.abort(ReasonWriteTimeout)
		}
		return
	}
	if c.rpc.turns++; c.rpc.turns < c.edge.wheel.beats {
		return
	}
	c.rpc.turns = 0
	if c.writingSince.Load() != 0 {
		c.rpc.late.Store(true)
		return
	}
	if !c.rpc.beatingSince.CompareAndSwap(0, now.UnixNano()) {
		return // the connection is being handed over
	}
	c.edge.connections.Go(func() {
		_, err := c.net.Write(heartbeatFrame)
		c.rpc.beatingSince.Store(0)
		if err != nil {
			c.end(ReasonLost)
			c.net.Close() // the reader takes it down
		}
	})
}

// receiveRPC takes a frame of a client of version 5, and reports false if the connection ends by it. Nothing that is wrong with it does
// that: the client is told in a reply.
func (c *wsConn) receiveRPC(text []byte) bool {
	switch word := string(text); {
	case word == pongText:
		c.unanswered.Store(0)
		return true
	case strings.HasPrefix(word, ackPrefix):
		c.acknowledge(word[len(ackPrefix):])
		return true
	}
	batch, fault := rpc.Decode(text, maxCalls)
	if fault != nil {
		c.edge.metrics.commands[commandRefused].Inc()
		return c.reply(rpc.Fault(fault))
	}
	// Whoever sends something and goes has sent it all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), commandTimeout)
	defer cancel()
	replies := make([]rpc.Reply, len(batch.Calls))
	for i, call := range batch.Calls {
		replies[i] = c.call(ctx, call)
	}
	answer := batch.Append(nil, replies)
	return answer == nil || c.reply(answer)
}

// acknowledge notes that the client has processed a message. Clients do it in order; what comes again says nothing new.
func (c *wsConn) acknowledge(text string) {
	id, err := proto.ParseID(text)
	if err != nil || !id.After(c.rpc.acked) {
		return
	}
	c.rpc.acked = id
	c.edge.metrics.acks.Inc()
	if created, ok := c.tenant.recent.created(id); ok {
		c.edge.metrics.publishToAck.Observe(time.Since(created).Seconds())
	}
}

// call carries out one call: here what is about the connection, and elsewhere all else.
func (c *wsConn) call(ctx context.Context, call rpc.Call) rpc.Reply {
	reply, err := rpc.Reply{Fault: call.Fault}, error(nil)
	ours := true
	if call.Fault == nil {
		switch call.Method {
		case "ping":
		case "listChannels":
			reply.Result = c.listChannels()
		case "subscribeStatusChange":
			reply.Fault = c.watchStatus(call.Params)
		case "unsubscribeStatusChange":
			reply.Fault = c.unwatchStatus(call.Params)
		case "getUsersLastSeen":
			if ours = false; !c.mayAsk() {
				err = intake.ErrBusy
				break
			}
			fallthrough
		default:
			who := command.Caller{User: c.sub.user, Public: c.sub.public}
			ours = false // and counted elsewhere
			reply, err = c.tenant.serving.Load().commands.Call(ctx, who, call)
		}
	}
	switch {
	case errors.Is(err, intake.ErrBusy):
		c.edge.metrics.commands[commandBusy].Inc()
		reply.Fault = rpc.ErrInternal.With(proto.ErrTooManyMessages.Text)
	case err != nil:
		c.edge.metrics.commands[commandFailed].Inc()
		c.tenant.commandFailed(&c.tenant.callLog, "a client's call was not carried out", err, "method", call.Method)
		reply.Fault = rpc.ErrInternal
	case reply.Fault != nil:
		c.edge.metrics.commands[commandRefused].Inc()
	default:
		c.edge.metrics.commands[commandDone].Inc()
		if ours {
			c.tenant.tally.Request(call.Method)
		}
	}
	return reply
}

// mayAsk reports whether the client may ask who was last seen when, and counts that it does. Called by the reader only.
func (c *wsConn) mayAsk() bool {
	if c.rpc.asks == nil {
		c.rpc.asks = rate.NewLimiter(askRate, askBurst)
	}
	return c.rpc.asks.Allow() && c.tenant.asks.Allow()
}

// listChannels gives the ids that the client was given by its portal; how its user is addressed is no channel to it.
func (c *wsConn) listChannels() json.RawMessage {
	list := make([]string, 0, len(c.sub.channels))
	for _, id := range c.sub.channels {
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

func (c *wsConn) watchStatus(params json.RawMessage) *rpc.Error {
	user, fault := rpc.ParseUser(params)
	if fault != nil {
		return fault
	}
	if _, ok := c.rpc.statuses[user]; !ok && len(c.rpc.statuses) == maxStatuses {
		return rpc.ErrInvalidParams.With("too many users")
	}
	c.watchUser(user)
	return nil
}

func (c *wsConn) watchUser(user int64) {
	if c.rpc.statuses == nil {
		c.rpc.statuses = make(map[int64]struct{})
	}
	c.rpc.statuses[user] = struct{}{}
	c.session.Watch(channel.StatusOf(user))
}

func (c *wsConn) unwatchStatus(params json.RawMessage) *rpc.Error {
	user, fault := rpc.ParseUser(params)
	if fault != nil {
		return fault
	}
	delete(c.rpc.statuses, user)
	c.session.Unwatch(channel.StatusOf(user))
	return nil
}

// recent remembers for a while when the messages were made that clients are to acknowledge. It forgets the older half when the
// younger one is full. Its methods may be called concurrently.
type recent struct {
	mu         sync.Mutex
	young, old map[proto.ID]time.Time
}

// rememberedMessages is how many messages are remembered, at least.
const rememberedMessages = 4096

// note remembers messages that have just been sent. Those of a replay are too old to tell anything.
func (r *recent) note(batch []*proto.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range batch {
		if time.Since(m.Received) > time.Minute {
			continue
		}
		if _, ok := r.young[m.ID]; ok {
			continue
		}
		if r.young == nil || len(r.young) >= rememberedMessages {
			r.old, r.young = r.young, make(map[proto.ID]time.Time)
		}
		r.young[m.ID] = m.Created
	}
}

// created gives when a message was made, if it is remembered.
func (r *recent) created(id proto.ID) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, ok := r.young[id]; ok {
		return at, true
	}
	at, ok := r.old[id]
	return at, ok
}
