// Package fleet asks the processes that share a Redis, and collects their answers.
//
// A question is published on one topic, to which every process subscribes. The answers wait in
// Redis, in a place with a random name that vanishes when the time for them is over; the process
// that asks takes them out. They are not published, because a hundred long answers at a time would
// be more than Redis lets wait for a subscriber, whose connection also carries messages.
//
// Questions go through Redis and not to the admin ports of the other processes: those listen on
// loopback. Whoever writes to Redis can ask everything, as they can do everything else.
package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"pushgate/internal/contain"
)

// The bounds of questions and answers.
const (
	MaxQuestion = 64 << 10        // bytes of a question as JSON
	MaxAnswer   = 1 << 20         // bytes of an answer as JSON
	DefaultWait = 2 * time.Second // for answers, unless the context says another time
	MaxWait     = 10 * time.Second

	maxName   = 64
	maxAsking = 32 // questions that a process asks at a time
	// Questions that it answers at a time. To more it answers that it is busy.
	maxAnswering = 16
	maxBusy      = 64       // such answers at a time; further questions get none
	maxAnswers   = 4096     // to one question
	maxTotal     = 64 << 20 // bytes of all answers to one question
)

// renewal is the time between two renewals of the lease. Three of them may fail.
const renewal = 8 * time.Second

// Question is what a handler is asked.
type Question struct {
	Name   string
	Caller string // who asks, for logs
	Body   json.RawMessage
}

// Handler answers a question. The answer is encoded as JSON, at most [MaxAnswer] bytes; if there is
// an error, its text is the answer. The context ends when nobody waits for the answer any more, and
// the handler must return then. It may be called concurrently.
type Handler func(ctx context.Context, q Question) (answer any, err error)

// Answer is what one process has answered.
type Answer struct {
	Process string          `json:"process"`
	Body    json.RawMessage `json:"body,omitempty"`
	Err     string          `json:"err,omitempty"` // a sentence; "" if there is a body
}

// Answers are the answers to one question, in the order of the processes.
type Answers struct {
	Answers []Answer
	// Processes that were asked and did not answer in time: of all, those with a lease. A process
	// that was asked by its name and has no lease is here, too.
	Silent []string
}

// Bus carries questions and answers between processes. Its methods may be called concurrently.
type Bus interface {
	// HearQuestions calls heard for every question until ctx ends, and state when the subscription
	// is made or, with the reason, lost.
	HearQuestions(ctx context.Context, heard func(question string), state func(error)) error
	// PublishQuestion opens a place for answers for a time, and returns how many have received the
	// question, and which processes have a lease.
	PublishQuestion(ctx context.Context, place, question string, life time.Duration) (received int, processes []string, err error)
	PutAnswer(ctx context.Context, place, answer string) error
	TakeAnswers(ctx context.Context, place string) ([]string, error)
	RenewLease(ctx context.Context, process string) error
	EndLease(ctx context.Context, process string) error
}

// Fleet is this process among those that share a Redis. Its methods may be called concurrently, but
// for Handle and Run.
type Fleet struct {
	// Immutable after Run or the first Ask.
	bus      Bus // nil if there is none
	id       string
	logger   *slog.Logger
	panics   contain.Report
	handlers map[string]Handler

	life      context.Context // ends with Run
	end       context.CancelFunc
	asking    chan struct{} // an element for each Ask
	answering chan struct{} // for each question that is answered; Run takes all when it ends
	busy      chan struct{} // likewise, for each answer that the process is busy

	mu     sync.Mutex
	places map[string]bool // of the questions that this process asks
	heard  bool            // the subscription is made
}

// New makes the fleet of a process with an id. Without a bus, which may be nil, only this process
// answers. Without an id, as in a program that only asks, it does not answer, and must not Run.
func New(bus Bus, id string, logger *slog.Logger) *Fleet {
	f := &Fleet{bus: bus, id: id, logger: logger, handlers: make(map[string]Handler), places: make(map[string]bool),
		asking: make(chan struct{}, maxAsking), answering: make(chan struct{}, maxAnswering), busy: make(chan struct{}, maxBusy)}
	f.life, f.end = context.WithCancel(context.Background())
	f.panics = func(where string, value any, stack []byte) {
		logger.Error("panic", "where", where, "value", value, "stack", string(stack))
	}
	return f
}

// ReportPanics has the panics of handlers reported. It must be called before Run and Ask; without
// it they are logged.
func (f *Fleet) ReportPanics(report contain.Report) { f.panics = report }

// Handle makes h answer the questions with a name. It must be called before Run and Ask, and once
// for a name.
func (f *Fleet) Handle(name string, h Handler) {
	if f.handlers[name] != nil {
		panic("fleet: " + name + " is handled twice")
	}
	f.handlers[name] = h
}

// Run answers the questions of other processes until ctx ends. It returns when no handler runs any
// more. It must be called once.
func (f *Fleet) Run(ctx context.Context) {
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		running.Wait()
		f.end()
		for range maxAnswering {
			f.answering <- struct{}{}
		}
		for range maxBusy {
			f.busy <- struct{}{}
		}
	}()
	if f.bus == nil {
		<-ctx.Done()
		return
	}
	subscribed := make(chan struct{}, 1)
	running.Go(func() { f.keepLease(ctx, subscribed) })
	_ = f.bus.HearQuestions(ctx, f.hear, func(err error) {
		f.mu.Lock()
		before := f.heard
		f.heard = err == nil
		f.mu.Unlock()
		switch {
		case err == nil:
			select {
			case subscribed <- struct{}{}:
			default:
			}
		case before:
			f.logger.Info("questions of other processes do not arrive", "error", err)
		}
	})
}

func (f *Fleet) hears() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.heard
}

// keepLease renews the lease while questions arrive, and ends it with ctx.
func (f *Fleet) keepLease(ctx context.Context, subscribed <-chan struct{}) {
	ticker := time.NewTicker(renewal)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			if err := f.bus.EndLease(ctx, f.id); err != nil {
				f.logger.Info("lease not withdrawn; it will expire", "error", err)
			}
			return
		case <-subscribed:
		case <-ticker.C:
			if !f.hears() {
				continue
			}
		}
		if err := f.bus.RenewLease(ctx, f.id); err != nil && ctx.Err() == nil {
			f.logger.Debug("lease not renewed", "error", err)
		}
	}
}

var (
	errNoBus   = errors.New("the other processes are not known: this one has no Redis")
	errAsking  = errors.New("too many questions are being asked at a time; ask again")
	errTooLong = errors.New("the question is too long")
	errTooMuch = errors.New("the answers were too many or too long; the rest is left out")
)
