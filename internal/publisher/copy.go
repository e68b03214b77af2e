package publisher

import (
	"context"
	"net/http"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// Mirror sends copies of accepted posts to another server. Its methods must be safe for concurrent
// use.
type Mirror interface {
	// Begin is called before a post is stored, so that copies are sent in the order of the log. It
	// returns a number for Copy and End.
	Begin() (number uint64)
	// Copy queues a copy of a post and returns at once. It keeps the body, which does not change
	// any more, and the channels that the post went to. id is that of its first message; zero if it
	// has none. A post that is a copy itself is not copied.
	Copy(number uint64, r *http.Request, body []byte, id proto.ID, channels []channel.ID)
	// End is called after each Begin, after Copy if there is a copy.
	End(number uint64)
	// Run sends the copies until ctx ends, and soon after.
	Run(ctx context.Context)
}

// stored is what the log took of one post. It is for one goroutine.
type stored struct {
	number   uint64 // at the mirror
	any      bool
	id       proto.ID // of the first message
	channels []channel.ID
}

type storedKey struct{}

// begin returns the context in which a post is carried out: that of its request with a time-out,
// and, if there is a mirror, with a place in which a measured log notes what it takes. The returned
// function ends both.
func (p *Publisher) begin(ctx context.Context) (context.Context, func()) {
	if p.config.Mirror == nil {
		return context.WithTimeout(ctx, p.config.Timeout)
	}
	s := &stored{number: p.config.Mirror.Begin()}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, storedKey{}, s), p.config.Timeout)
	return ctx, func() {
		p.config.Mirror.End(s.number)
		cancel()
	}
}

// noteStored notes that the log took messages of the post that ctx belongs to. Repeated ones count:
// when they came first, the answer may have been an error, and then no copy was made. The other
// server recognizes them by the same key.
func noteStored(ctx context.Context, msgs []*proto.Message, receipts []proto.Receipt) {
	s, ok := ctx.Value(storedKey{}).(*stored)
	if !ok {
		return
	}
	for i, receipt := range receipts {
		if receipt.ID.IsZero() {
			continue
		}
		if !s.any {
			s.any, s.id = true, receipt.ID
		}
		s.channels = append(s.channels, msgs[i].Receivers...)
	}
}

// noteSeen notes that the log took something of a post that is no message.
func noteSeen(ctx context.Context) {
	if s, ok := ctx.Value(storedKey{}).(*stored); ok {
		s.any = true
	}
}

// copied has a post copied to the mirror if the log took anything of it. To a post that is a copy
// it answers that it was recognized as one. It is called before the answer begins.
func (p *Publisher) copied(ctx context.Context, w http.ResponseWriter, r *http.Request, body []byte) {
	if r.Header[proto.MirrorHeader] != nil {
		w.Header()[proto.MirrorHeader] = []string{"1"}
	}
	if s, ok := ctx.Value(storedKey{}).(*stored); ok && s.any {
		p.config.Mirror.Copy(s.number, r, body, s.id, s.channels)
	}
}
