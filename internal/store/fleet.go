package store

import (
	"context"
	"fmt"
	"time"

	"pushgate/internal/store/pubsub"
)

// The keys and the topic of the questions that processes ask one another. One hash tag keeps them
// on one node of a cluster, so that a script reaches them all.
const (
	questionsTopic = "pg:fleet:{fleet}:ask"
	leasesKey      = "pg:fleet:{fleet}:leases"
	placePrefix    = "pg:fleet:{fleet}:place:"
)

const (
	maxWaiting = 1024    // answers to one question that wait in Redis
	takenBytes = 4 << 20 // of answers that are taken at a time; the last one may exceed it
)

// HearQuestions calls heard for every question that is published from now on, until ctx ends, and
// returns the error of ctx. It calls state with nil when a subscription has been made, and with the
// reason when it is lost; another one is made then. Only the goroutine of HearQuestions calls both.
func (s *Store) HearQuestions(ctx context.Context, heard func(question string), state func(error)) error {
	return again(ctx, func(ctx context.Context) error { return s.hearQuestions(ctx, heard, state) }, state)
}

func (s *Store) hearQuestions(ctx context.Context, heard func(string), state func(error)) (err error) {
	defer s.cfg.Panics.Recover("questions", func() { err = errPanic })
	lis, err := s.subscriber.Listen(ctx, questionsTopic)
	if err != nil {
		return err
	}
	defer lis.Close()
	var events []pubsub.Event
	for {
		if events, err = lis.Next(ctx, events); err != nil {
			return err
		}
		for _, e := range events {
			switch e.Kind {
			case pubsub.Message:
				heard(e.Payload)
			case pubsub.Subscribed:
				state(nil)
			case pubsub.Lost:
				if state(e.Err); lis.Moved(ctx) {
					return errMoved
				}
			default:
				return e.Err
			}
		}
	}
}

// PublishQuestion publishes a question to all processes that hear questions, and opens a place for
// their answers, which vanishes after life. It returns how many connections received the question,
// and the processes whose lease holds.
func (s *Store) PublishQuestion(ctx context.Context, place, question string, life time.Duration) (received int, processes []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	ask := askScript
	if s.subscriber.Sharded() {
		ask = shardedAskScript
	}
	reply, err := run(ctx, s.rdb, ask, placePrefix+place, questionsTopic, leasesKey, max(1, life.Milliseconds()), question).Slice()
	if err != nil {
		return 0, nil, fmt.Errorf("publish a question: %w", err)
	}
	n, ok := int64(0), false
	if len(reply) > 0 {
		n, ok = reply[0].(int64)
	}
	if !ok {
		return 0, nil, fmt.Errorf("publish a question: %w", errReply)
	}
	for _, field := range reply[1:] {
		id, _ := field.(string)
		processes = append(processes, id)
	}
	return int(n), processes, nil
}

// PutAnswer puts an answer to a question into its place. It does nothing if the place has vanished
// or is full.
func (s *Store) PutAnswer(ctx context.Context, place, answer string) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	if err := run(ctx, s.rdb, putAnswerScript, placePrefix+place, maxWaiting, answer).Err(); err != nil {
		return fmt.Errorf("answer a question: %w", err)
	}
	return nil
}

// TakeAnswers removes and returns answers to a question, the oldest first; not all if they are
// long. There may be none.
func (s *Store) TakeAnswers(ctx context.Context, place string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	answers, err := run(ctx, s.rdb, takeAnswersScript, placePrefix+place, takenBytes).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("read answers: %w", err)
	}
	return answers, nil
}

// RenewLease says for [ProcessLease] that a process answers questions.
func (s *Store) RenewLease(ctx context.Context, process string) error {
	return s.lease(ctx, process, ProcessLease)
}

// EndLease withdraws what RenewLease has said.
func (s *Store) EndLease(ctx context.Context, process string) error { return s.lease(ctx, process, 0) }

func (s *Store) lease(ctx context.Context, process string, life time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	if err := run(ctx, s.rdb, leaseScript, leasesKey, process, life.Milliseconds()).Err(); err != nil {
		return fmt.Errorf("write the lease of process %q: %w", process, err)
	}
	return nil
}

// PastProcesses returns when each process of the last hour was last there, to some seconds: also of
// those that have ended, or were killed.
func (s *Store) PastProcesses(ctx context.Context) (map[string]time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	members, err := s.rdb.ZRangeWithScores(ctx, leasesKey+":past", 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("read which processes there were: %w", err)
	}
	past := make(map[string]time.Time, len(members))
	for _, m := range members {
		id, _ := m.Member.(string)
		past[id] = time.UnixMilli(int64(m.Score))
	}
	return past, nil
}
