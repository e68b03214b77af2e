package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// maxLooks bounds the ids, dead or alive, that one page looks at: as long as it runs, Redis does nothing else.
const maxLooks = 4096

var errReply = errors.New("an answer of unexpected form")

// History gives one page of what the log holds for channels after the cursor, as one snapshot. A cursor that is newer than the log, and than
// all that l knows of, cannot be trusted: it counts as the zero cursor, before everything, and the page has a Gap. A page may be empty although
// there is more, if what it looked at had expired; Through has moved on then. Records that do not decode are left out.
func (l *Log) History(ctx context.Context, channels []channel.ID, after proto.ID) (proto.Page, error) {
	var names strings.Builder
	names.Grow(len(channels) * channel.IDLen)
	for _, id := range channels {
		names.WriteString(id.String())
	}
	page, err := l.read(ctx, names.String(), after)
	if err != nil {
		return proto.Page{}, fmt.Errorf("read the history of portal %q: %w", l.portal, err)
	}
	if known := l.knows(); after.After(page.Head) && known.After(page.Head) {
		// Redis has lost the newest ids, and nobody has opened a new epoch yet. With one, the cursor is before all that comes, and the
		// reader is not given again what it has.
		if _, err := l.Head(ctx, known); err != nil {
			return proto.Page{}, err
		}
		if page, err = l.read(ctx, names.String(), after); err != nil {
			return proto.Page{}, fmt.Errorf("read the history of portal %q: %w", l.portal, err)
		}
	}
	l.learn(page.Head)
	return page, nil
}

func (l *Log) read(ctx context.Context, channels string, after proto.ID) (proto.Page, error) {
	reply, err := run(ctx, l.rdb, historyScript, l.head, cursor(after), l.cfg.PageMessages, l.cfg.PageBytes, maxLooks, channels).Slice()
	if err != nil {
		return proto.Page{}, err
	}
	return l.page(reply)
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
