package publisher

import (
	"context"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/intake"
	"pushgate/internal/proto"
	"pushgate/internal/tracing"
)

// measured is a log that bounds and counts what is appended.
type measured struct {
	portal string
	log    Log
	gate   *intake.Gate
	*Publisher
}

// Append implements [Log]. Its error may be [intake.ErrBusy].
func (m measured) Append(ctx context.Context, msgs ...*proto.Message) ([]proto.Receipt, error) {
	if m.config.Tracer == nil {
		return m.append(ctx, msgs)
	}
	appending := tracing.PostOf(ctx).Append(msgs)
	receipts, err := m.append(ctx, msgs)
	appending.End(whyNot(err))
	return receipts, err
}

func (m measured) append(ctx context.Context, msgs []*proto.Message) ([]proto.Receipt, error) {
	if !m.gate.Enter(msgs) {
		return nil, intake.ErrBusy
	}
	defer m.gate.Leave(msgs)
	setKeys(ctx, msgs)
	start := time.Now()
	receipts, err := m.log.Append(ctx, msgs...)
	m.metrics.seconds.Observe(time.Since(start).Seconds())
	m.note(err)
	m.config.Trail.Note(m.portal, msgs, receipts, err)
	if err != nil {
		return nil, err
	}
	noteStored(ctx, msgs, receipts)
	for i, receipt := range receipts {
		m.metrics.closed.Add(float64(len(receipt.Closed)))
		switch {
		case receipt.Repeated:
			m.metrics.repeated.Inc()
		case !receipt.ID.IsZero():
			m.metrics.published.Inc()
			m.metrics.bytes.Add(float64(msgs[i].Size()))
		}
	}
	return receipts, nil
}

// LastSeen implements [Log].
func (m measured) LastSeen(ctx context.Context, users []int64) ([]int, []time.Time, error) {
	sessions, times, err := m.log.LastSeen(ctx, users)
	m.note(err)
	return sessions, times, err
}

// SetSeen implements [Log].
func (m measured) SetSeen(ctx context.Context, seen ...proto.Seen) error {
	err := m.log.SetSeen(ctx, seen...)
	m.note(err)
	if err == nil {
		noteSeen(ctx)
	}
	return err
}

// Online implements [Log].
func (m measured) Online(ctx context.Context, channels []channel.ID) ([]int, error) {
	sessions, err := m.log.Online(ctx, channels)
	if ctx.Err() != context.Canceled { // else the client has gone
		m.note(err)
	}
	return sessions, err
}

// note writes to the process's log when the log in Redis begins to fail and when it works again: a
// line for each request would hide everything else. Metrics count the requests.
func (p *Publisher) note(err error) {
	if failing := err != nil; p.failing.Load() == failing || p.failing.Swap(failing) == failing {
		return
	}
	if err != nil {
		p.logger.Warn("the log in Redis does not answer; posts are refused with 503", "error", err)
	} else {
		p.logger.Info("the log in Redis answers again")
	}
}
