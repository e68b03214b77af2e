package history

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"pushgate/internal/contain"
	"pushgate/internal/proto"
)

// Period is the time between two samples.
const Period = 10 * time.Second

// Log is where samples are kept. Its methods may be called concurrently.
type Log interface {
	// PutSample keeps a sample of a process for an hour, and some for a day. It returns what the
	// clock of Redis says, and whether the schema that the sample names is known.
	PutSample(ctx context.Context, process, schema string, sample []byte) (now time.Time, known bool, err error)
	// PutSchema keeps a schema for as long as samples name it.
	PutSchema(ctx context.Context, name, schema string) error
	// Sampled returns the processes that have samples of the last hour, or with day of the last
	// day, and what the clock of Redis says.
	Sampled(ctx context.Context, day bool) (processes []string, now time.Time, err error)
	// Samples calls f with the samples of each of some processes, the oldest first.
	Samples(ctx context.Context, day bool, processes []string, f func(process string, samples []proto.Sample)) error
	// Schema returns a schema; "" if there is none.
	Schema(ctx context.Context, name string) (string, error)
}

// Recorder samples the figures of a process.
type Recorder struct {
	// Immutable.
	figures *Figures
	log     Log
	process string
	logger  *slog.Logger
	panics  contain.Report

	clock atomic.Pointer[time.Duration]
}

// NewRecorder makes the recorder of a process with an id. panics gets the panics while it samples;
// it may be nil.
func NewRecorder(figures *Figures, log Log, process string, logger *slog.Logger, panics contain.Report) *Recorder {
	return &Recorder{figures: figures, log: log, process: process, logger: logger, panics: panics}
}

// Run takes a sample every [Period] until ctx ends, and a last one. While Redis is away, there are
// no samples. It must be called once.
func (r *Recorder) Run(ctx context.Context) {
	ticker := time.NewTicker(Period)
	defer ticker.Stop()
	for {
		r.sample(ctx)
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			r.sample(ctx)
			return
		case <-ticker.C:
		}
	}
}

// Clock returns by how much the clock of this machine is ahead of that of Redis; ok is false if
// that is not known.
func (r *Recorder) Clock() (ahead time.Duration, ok bool) {
	if d := r.clock.Load(); d != nil {
		return *d, true
	}
	return 0, false
}

func (r *Recorder) sample(ctx context.Context) {
	defer r.panics.Recover("history", nil)
	if err := r.take(ctx); err != nil {
		r.clock.Store(nil)
		r.logger.Debug("no sample kept", "error", err)
	}
}

func (r *Recorder) take(ctx context.Context) error {
	figures, err := r.figures.Read()
	if err != nil {
		return err
	}
	sample, name, schema := encode(figures)
	began := time.Now()
	now, known, err := r.log.PutSample(ctx, r.process, name, sample)
	if err != nil {
		return err
	}
	ahead := began.Add(time.Since(began) / 2).Sub(now)
	r.clock.Store(&ahead)
	if known {
		return nil
	}
	return r.log.PutSchema(ctx, name, schema)
}
