package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// maxLooks bounds the ids, expired or not, that one page looks at: while the script runs, Redis
// does nothing else.
const maxLooks = 4096

var errReply = errors.New("unexpected form of a reply from Redis")

// History returns one page of what the log holds for channels after the cursor, as one snapshot. A
// cursor that is newer than the log, and than everything that l knows of, cannot be trusted: it
// counts as the zero cursor, before everything, and the page has a Gap. A page may be empty
// although there is more, if what it looked at had expired; Through has moved on then. Records that
// do not decode are left out.
func (l *Log) History(ctx context.Context, channels []channel.ID, after proto.ID) (proto.Page, error) {
	answer := l.Histories(ctx, []proto.Question{{Channels: channels, After: after}})[0]
	return answer.Page, answer.Err
}

// Histories answers questions as History does, each from its own snapshot, usually in one round
// trip. The answers are in the order of the questions, and each has an error of its own.
func (l *Log) Histories(ctx context.Context, questions []proto.Question) []proto.Answer {
	answers := l.ask(ctx, questions)
	known := l.knows()
	var again []int // questions whose cursors the log has not reached
	for i, a := range answers {
		if a.Err == nil && questions[i].After.After(a.Page.Head) {
			again = append(again, i)
		}
	}
	if again != nil {
		l.askAgain(ctx, known, questions, answers, again)
	}
	for _, a := range answers {
		if a.Err == nil {
			l.learn(a.Page.Head)
		}
	}
	return answers
}

// askAgain repeats the questions whose cursors the log had not reached, if a new epoch can be
// opened: if Redis has lost the newest ids, or is another server than the one that assigned them,
// and nobody has opened a new epoch yet. In a new epoch the cursors are before everything that
// follows, and readers do not get again what they have.
func (l *Log) askAgain(ctx context.Context, known proto.ID, questions []proto.Question, answers []proto.Answer, again []int) {
	before := answers[again[0]].Page.Head
	loses := known.After(before)
	if !loses {
		known = before
	}
	head, err := l.Head(ctx, known)
	switch {
	case err != nil && loses:
		for _, n := range again {
			answers[n].Err = err
		}
	case err == nil && head.Epoch != before.Epoch:
		repeated := make([]proto.Question, len(again))
		for i, n := range again {
			repeated[i] = questions[n]
		}
		for i, a := range l.ask(ctx, repeated) {
			answers[again[i]] = a
		}
	}
}

// ask sends questions to Redis in one round trip.
func (l *Log) ask(ctx context.Context, questions []proto.Question) []proto.Answer {
	args := make([][]any, len(questions))
	for i, q := range questions {
		names := make([]byte, 0, len(q.Channels)*channel.IDLen)
		for _, id := range q.Channels {
			names, _ = id.AppendText(names)
		}
		args[i] = []any{cursor(q.After), l.cfg.PageMessages, l.cfg.PageBytes, maxLooks, names}
	}
	answers := make([]proto.Answer, len(questions))
	for i, cmd := range runAll(ctx, l.rdb, historyScript, l.head, args) {
		reply, err := cmd.Slice()
		if err == nil {
			answers[i].Page, err = l.page(reply)
			answers[i].Page.Messages = slices.DeleteFunc(answers[i].Page.Messages, func(m *proto.Message) bool { return strayed(m, questions[i].Channels) })
		}
		if err != nil {
			answers[i] = proto.Answer{Err: fmt.Errorf("read the history of portal %q: %w", l.portal, err)}
		}
	}
	return answers
}

// strayed reports whether a client's message is not meant for the channels that it was stored
// under. Earlier builds stored a message to a public id as if the id were private.
func strayed(m *proto.Message, channels []channel.ID) bool {
	return m.Sender.Type == proto.SenderClient && m.Via(channels) < 0
}

// page decodes the reply of the history script.
func (l *Log) page(reply []any) (page proto.Page, err error) {
	const header = 4
	if len(reply) < header || len(reply)%2 != 0 {
		return page, errReply
	}
	if page.Head, err = replyID(reply[0]); err != nil {
		return page, err
	}
	if page.Through, err = replyID(reply[1]); err != nil {
		return page, err
	}
	page.More = reply[2] == int64(1)
	if page.Lost, err = replyID(reply[3]); err != nil {
		return page, err
	}
	reply = reply[header:]
	page.Messages = make([]*proto.Message, 0, len(reply)/2)
	for i := 0; i < len(reply); i += 2 {
		id, err := replyID(reply[i])
		if err != nil {
			l.cfg.Damaged(id, err)
			continue
		}
		record, _ := reply[i+1].(string)
		m, err := proto.DecodeRecord(id, []byte(record))
		if err != nil {
			l.cfg.Damaged(id, err)
			continue
		}
		page.Messages = append(page.Messages, m)
	}
	return page, nil
}

func replyID(v any) (proto.ID, error) {
	s, ok := v.(string)
	if !ok {
		return proto.ID{}, errReply
	}
	return parseID(s)
}
