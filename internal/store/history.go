package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// maxLooks bounds the ids, dead or alive, that one page looks at: as long as it runs, Redis does nothing else.
const maxLooks = 4096

var errReply = errors.New("an answer of unexpected form")

// History gives one page of what the log holds for channels after the cursor, as one snapshot. A cursor that is newer than the log
// cannot be trusted: it counts as the zero cursor, before everything, and the page has a Gap. A page may be empty although
// there is more, if what it looked at had expired; Through has moved on then. Records that do not decode are left out.
func (l *Log) History(ctx context.Context, channels []channel.ID, after proto.ID) (proto.Page, error) {
	answer := l.answer(run(ctx, l.rdb, historyScript, l.head, l.question(proto.Question{Channels: channels, After: after})...))
	return answer.Page, answer.Err
}

// Histories answers questions as History does, each by a snapshot of its own, in one round trip.
func (l *Log) Histories(ctx context.Context, questions []proto.Question) []proto.Answer {
	args := make([][]any, len(questions))
	for i, q := range questions {
		args[i] = l.question(q)
	}
	answers := make([]proto.Answer, len(questions))
	for i, cmd := range runAll(ctx, l.rdb, historyScript, l.head, args) {
		answers[i] = l.answer(cmd)
	}
	return answers
}

// question gives the arguments of the history script.
func (l *Log) question(q proto.Question) []any {
	names := make([]byte, 0, len(q.Channels)*channel.IDLen)
	for _, id := range q.Channels {
		names, _ = id.AppendText(names)
	}
	return []any{cursor(q.After), l.cfg.PageMessages, l.cfg.PageBytes, maxLooks, names}
}

func (l *Log) answer(cmd *redis.Cmd) proto.Answer {
	reply, err := cmd.Slice()
	var page proto.Page
	if err == nil {
		page, err = l.page(reply)
	}
	if err != nil {
		return proto.Answer{Err: fmt.Errorf("read the history of portal %q: %w", l.portal, err)}
	}
	l.learn(page.Head)
	return proto.Answer{Page: page}
}

// page reads the answer of the history script.
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
