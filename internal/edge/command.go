package edge

import (
	"context"
	"errors"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/command"
	"pushgate/internal/intake"
	"pushgate/internal/loglimit"
	"pushgate/internal/proto"
	"pushgate/internal/rpc"
	"pushgate/internal/transport"
)

// Commands carries out what clients send. It is called concurrently, but by each connection for one
// batch at a time.
type Commands interface {
	// Client carries out a batch of the client with a public id, which may be zero. The
	// reply is nil if there is none. The error is a *[proto.Error] if the client is at fault, and
	// [intake.ErrBusy] if there are too many posts.
	Client(ctx context.Context, public channel.ID, batch []byte) (reply []byte, err error)
	// Call carries out a call of version 5 that is not about the connection itself. An error is
	// never the client's fault, except [intake.ErrBusy].
	Call(ctx context.Context, who command.Caller, call rpc.Call) (rpc.Reply, error)
}

// commandTimeout is how long a batch may take. Nothing is read from its connection meanwhile.
const commandTimeout = 5 * time.Second

// Limit implements [transport.Receiver].
func (s *subscriber) Limit() int64 { return s.tenant.serving.Load().Limits.Payload }

// Wants implements [transport.Receiver].
func (s *subscriber) Wants() bool {
	codec := s.reader.Codec
	return (codec.Commands || codec.Calls) && s.tenant.serving.Load().commands != nil
}

// Receive implements [transport.Receiver]. A request is carried out even if its client has gone
// meanwhile, but not if the client is put out: its connection need not end before the client likes.
func (s *subscriber) Receive(c *transport.WebSocket, message []byte) bool {
	if s.check(c) {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	if s.calls != nil {
		return s.receiveCalls(ctx, c, message)
	}
	m := s.edge.metrics
	reply, err := s.tenant.serving.Load().commands.Client(ctx, s.public, message)
	var refusal *proto.Error
	switch {
	case err == nil:
		m.commands[commandDone].Inc()
		return reply == nil || c.Reply(reply)
	case errors.Is(err, intake.ErrBusy):
		// A batch of messages has no reply for that. The connection stays.
		m.commands[commandBusy].Inc()
		return true
	case errors.As(err, &refusal) && transport.ReasonOf[refusal] != nil:
		m.commands[commandRefused].Inc()
		c.Close(transport.ReasonOf[refusal])
		return false
	case refusal != nil:
		// A channel that takes no more messages: no close code says that. The connection stays.
		m.commands[commandRefused].Inc()
		return true
	default:
		m.commands[commandFailed].Inc()
		s.tenant.commandFailed(&s.tenant.batchLog, "client's batch failed", err)
		c.Close(transport.ReasonCommandFailed)
		return false
	}
}

// commandFailed logs that a client's request failed, unless the same limiter has logged one shortly
// before. The metric counts all.
func (t *tenant) commandFailed(limiter *loglimit.Limiter, what string, err error, more ...any) {
	if failures, due := limiter.Count(time.Now()); due {
		t.edge.logger.Warn(what, append(more, "portal", t.name, "failures", failures, "error", err)...)
	}
}

// The outcomes of batches, as labels.
const (
	commandDone    = "done"
	commandRefused = "refused"
	commandFailed  = "failed"
	commandBusy    = "busy" // over the limits of its portal or of the process
)
