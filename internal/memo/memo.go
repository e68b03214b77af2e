// Package memo keeps answers that are costly to make for a short time, and makes each once for all
// who ask at the same time.
package memo

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrFull is the error of [Memo.Get] when there are too many different questions at a time.
var ErrFull = errors.New("too many different questions at a time")

// Memo keeps answers by their questions. Its methods may be called concurrently.
type Memo[K comparable, T any] struct {
	// Immutable.
	life time.Duration
	wait time.Duration
	most int
	make func(ctx context.Context, question K) T

	mu      sync.Mutex
	answers map[K]*entry[T]
}

// entry is an answer. It must not be read before made is closed.
type entry[T any] struct {
	made     chan struct{}
	answer   T
	panicked any // value of the panic that was there instead of an answer
}

// New returns a memo of what make returns. An answer is forgotten when it is older than life; there
// are most of them at a time. make gets a context that ends after wait, and not when somebody stops
// waiting; it must return then. It is called concurrently for different questions.
func New[K comparable, T any](most int, life, wait time.Duration, make func(ctx context.Context, question K) T) *Memo[K, T] {
	return &Memo[K, T]{life: life, wait: wait, most: most, make: make, answers: map[K]*entry[T]{}}
}

// Get returns an answer that is not older than the memo's life. It fails with the error of ctx if
// that ends first, or with [ErrFull]. The answer must not be changed.
func (m *Memo[K, T]) Get(ctx context.Context, question K) (answer T, err error) {
	m.mu.Lock()
	e := m.answers[question]
	if e == nil {
		if len(m.answers) >= m.most {
			m.mu.Unlock()
			return answer, ErrFull
		}
		e = &entry[T]{made: make(chan struct{})}
		m.answers[question] = e
		go m.answer(context.WithoutCancel(ctx), question, e)
	}
	m.mu.Unlock()
	select {
	case <-e.made:
		if e.panicked != nil {
			panic(e.panicked)
		}
		return e.answer, nil
	case <-ctx.Done():
		return answer, ctx.Err()
	}
}

// answer makes an answer. Its goroutine ends soon after wait.
func (m *Memo[K, T]) answer(ctx context.Context, question K, e *entry[T]) {
	ctx, cancel := context.WithTimeout(ctx, m.wait)
	defer cancel()
	defer func() {
		e.panicked = recover()
		close(e.made)
		time.AfterFunc(m.life, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			delete(m.answers, question)
		})
	}()
	e.answer = m.make(ctx, question)
}
