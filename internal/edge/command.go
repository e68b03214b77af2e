package edge

import (
	"context"
	"errors"
	"io"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/command"
	"pushgate/internal/intake"
	"pushgate/internal/proto"
	"pushgate/internal/rpc"
)

// Commands carries out what clients send. It is called concurrently, but by each connection for one batch at a time.
type Commands interface {
	// Client carries out a batch of a client that is known by its public id, which may be zero. The reply is nil if there is
	// none. The error is a *[proto.Error] if the client is at fault, and [intake.ErrBusy] if there are too many posts.
	Client(ctx context.Context, public channel.ID, batch []byte) (reply []byte, err error)
	// Call carries out a call of version 5 that is not about the connection itself. The error is not the client's fault, but for
	// [intake.ErrBusy].
	Call(ctx context.Context, who command.Caller, call rpc.Call) (rpc.Reply, error)
}

// commandTimeout is how long a batch may take. Nothing is read from its connection meanwhile.
const commandTimeout = 5 * time.Second

// receive takes a data frame from the client, and reports false if the connection ends by it.
func (c *wsConn) receive(message io.Reader) bool {
	c.edge.metrics.received.Inc()
	serving := c.tenant.serving.Load()
	limit := serving.Limits.Payload
	limited := io.LimitReader(message, limit+1)
	if !c.sub.codec.commands && !c.sub.codec.calls || serving.commands == nil {
		n, err := io.Copy(io.Discard, limited)
		return c.arrived(n, limit, err)
	}
	batch, err := io.ReadAll(limited)
	if !c.arrived(int64(len(batch)), limit, err) {
		return false
	}
	if c.sub.codec.calls {
		return c.receiveRPC(batch)
	}
	// Whoever sends something and goes has sent it all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), commandTimeout)
	defer cancel()
	reply, err := serving.commands.Client(ctx, c.sub.public, batch)
	var refusal *proto.Error
	switch {
	case err == nil:
		c.edge.metrics.commands[commandDone].Inc()
		return reply == nil || c.reply(reply)
	case errors.Is(err, intake.ErrBusy): // a batch of messages has no reply that could say so, and what goes too fast need not go
		c.edge.metrics.commands[commandBusy].Inc()
		return true
	case errors.As(err, &refusal) && reasonOf[refusal] != nil:
		c.edge.metrics.commands[commandRefused].Inc()
		c.close(reasonOf[refusal])
		return false
	case refusal != nil: // a channel that takes no more messages: there is no close code for it, and no cause to go
		c.edge.metrics.commands[commandRefused].Inc()
		return true
	default:
		c.edge.metrics.commands[commandFailed].Inc()
		c.tenant.commandFailed(&c.tenant.batchLog, "a client's batch was not carried out", err)
		c.close(ReasonCommandFailed)
		return false
	}
}

// commandFailed writes that what a client sent was not carried out, unless the last line by the same limiter is too young. The metric
// counts all.
func (t *tenant) commandFailed(limiter *logLimiter, what string, err error, more ...any) {
	if failures, due := limiter.count(time.Now()); due {
		t.edge.logger.Warn(what, append(more, "portal", t.name, "failures", failures, "error", err)...)
	}
}

// arrived ends the connection if a frame did not come whole or was too large.
func (c *wsConn) arrived(size, limit int64, err error) bool {
	switch {
	case err != nil:
		c.readFailed(err)
		return false
	case size > limit:
		c.close(ReasonTooBig)
		return false
	}
	return true
}

// reply has the writer send a batch of answers, and waits until it has: a client that does not read is not read from.
func (c *wsConn) reply(batch []byte) bool {
	frame := proto.NewFrame(c.sub.codec.opcode, batch)
	r := &reply{frame: frame.WebSocket(), sent: make(chan struct{})}
	c.replyDue.Store(r)
	c.session.Nudge()
	select {
	case <-r.sent:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// reply is an answer on its way from the reader of a connection to its writer.
type reply struct {
	frame []byte
	sent  chan struct{} // closed
}

// The outcomes of batches, as labels.
const (
	commandDone    = "done"
	commandRefused = "refused"
	commandFailed  = "failed"
	commandBusy    = "busy" // over the limits of its portal or of the process
)
