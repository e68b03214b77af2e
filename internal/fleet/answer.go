package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
)

// hear takes a question of another process. It does not block.
func (f *Fleet) hear(text string) {
	m, err := parseMessage(text)
	if err != nil {
		f.logger.Debug("question not understood", "bytes", len(text), "error", err)
		return
	}
	f.mu.Lock()
	own := f.places[m.Place]
	f.mu.Unlock()
	if own || !m.isFor(f.id) {
		return
	}
	select {
	case f.answering <- struct{}{}:
		go func() {
			defer func() { <-f.answering }()
			ctx, cancel := context.WithTimeout(f.life, m.patience())
			defer cancel()
			f.send(ctx, m, f.answer(ctx, m.question()))
		}()
		return
	default:
	}
	select {
	case f.busy <- struct{}{}:
		go func() {
			defer func() { <-f.busy }()
			ctx, cancel := context.WithTimeout(f.life, m.patience())
			defer cancel()
			f.send(ctx, m, f.busyAnswer())
		}()
	default:
	}
}

// send puts an answer where whoever asks looks for it.
func (f *Fleet) send(ctx context.Context, m message, a Answer) {
	text, err := json.Marshal(a)
	if err == nil {
		// The answer that there was no time is worth sending, too.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.patience())
		defer cancel()
		err = f.bus.PutAnswer(ctx, m.Place, string(text))
	}
	if err != nil {
		f.logger.Debug("question not answered", "question", m.Name, "error", err)
	}
}

func (f *Fleet) busyAnswer() Answer {
	return Answer{Process: f.id, Err: "The process is busy with other questions; ask again."}
}

// answer has a question answered by its handler.
func (f *Fleet) answer(ctx context.Context, q Question) (a Answer) {
	a.Process = f.id
	defer f.panics.Recover("fleet", func() {
		a.Body, a.Err = nil, "A fault of the process prevented the answer; its log has it."
	})
	h := f.handlers[q.Name]
	if h == nil {
		a.Err = "The process does not know this question; it may be of another version or kind."
		return a
	}
	value, err := h(ctx, q)
	if err != nil && ctx.Err() != nil {
		a.Err = "The answer was not ready in time, or the process is ending."
		return a
	}
	if err != nil {
		a.Err = cmp.Or(short(err.Error()), "unknown error")
		return a
	}
	body, err := json.Marshal(value)
	switch {
	case err != nil:
		f.logger.Error("answer not encoded", "question", q.Name, "error", err)
		a.Err = "The process could not encode its answer; its log has the reason."
	case len(body) > MaxAnswer:
		a.Err = fmt.Sprintf("The answer has %d bytes, which is too long.", len(body))
	default:
		a.Body = body
	}
	return a
}

// answerSelf answers a question of this process in a goroutine.
func (f *Fleet) answerSelf(ctx context.Context, q Question) <-chan Answer {
	answers := make(chan Answer, 1)
	select {
	case f.answering <- struct{}{}:
	default:
		answers <- f.busyAnswer()
		return answers
	}
	go func() {
		defer func() { <-f.answering }()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(f.life, cancel)()
		answers <- f.answer(ctx, q)
	}()
	return answers
}

// short bounds the text of an error.
func short(text string) string {
	const most = 1000
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
