package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// mostReceiverLists is how many channels of a message are looked at.
const mostReceiverLists = 64

// Found is what a log knows of a message.
type Found struct {
	Head    proto.ID       // newest id of the portal; zero if it never had one
	Message *proto.Message // nil if the log does not hold it (any more)
	Left    time.Duration  // until it expires, if the log holds it
	// Ids of its epoch that come after this one were lost; zero if that is not known.
	Ended proto.ID
	Lists []Listed // of the first channels
}

// Listed is whether the list of a channel has a message.
type Listed struct {
	Channel channel.ID
	Listed  bool
	Trimmed proto.ID // newest id that was trimmed before it had expired; zero if none was
}

// Look returns what the log knows of a message. It looks at its channels, or at channels if the
// log does not hold it. It is for people who ask, not for what delivers.
func (l *Log) Look(ctx context.Context, id proto.ID, channels []channel.ID) (found Found, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	prefix := strings.TrimSuffix(l.head, "head")
	pipe := l.rdb.Pipeline()
	head, record, left := pipe.Get(ctx, l.head), pipe.Get(ctx, prefix+"m:"+id.String()), pipe.PTTL(ctx, prefix+"m:"+id.String())
	last := pipe.Get(ctx, prefix+"e:"+id.String()[:10])
	if _, err = pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return found, fmt.Errorf("look for a message of portal %q: %w", l.portal, err)
	}
	if text := head.Val(); len(text) >= proto.IDLen {
		found.Head, _ = proto.ParseID(text[:proto.IDLen])
	}
	if text := last.Val(); text != "" {
		found.Ended, _ = proto.ParseID(id.String()[:10] + text)
	}
	if record.Err() == nil {
		if found.Message, err = proto.DecodeRecord(id, []byte(record.Val())); err != nil {
			return found, fmt.Errorf("look for a message of portal %q: %w", l.portal, err)
		}
		found.Left, channels = left.Val(), found.Message.Receivers
	}
	found.Lists, err = l.lists(ctx, prefix, id, channels[:min(len(channels), mostReceiverLists)])
	return found, err
}

func (l *Log) lists(ctx context.Context, prefix string, id proto.ID, channels []channel.ID) ([]Listed, error) {
	lists := make([]Listed, len(channels))
	if len(channels) == 0 {
		return lists, nil
	}
	pipe := l.rdb.Pipeline()
	positions, marks := make([]*redis.IntCmd, len(channels)), make([]*redis.StringCmd, len(channels))
	for i, c := range channels {
		positions[i] = pipe.LPos(ctx, prefix+"c:"+c.String(), id.String(), redis.LPosArgs{Rank: -1})
		marks[i] = pipe.Get(ctx, prefix+"t:"+c.String())
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("look for a message in the lists of portal %q: %w", l.portal, err)
	}
	for i, c := range channels {
		lists[i] = Listed{Channel: c, Listed: positions[i].Err() == nil}
		lists[i].Trimmed, _ = parseID(marks[i].Val())
	}
	return lists, nil
}

// Newest returns the newest ids that the log lists for a channel, at most so many, the oldest
// first, and how many it lists, expired ones included.
func (l *Log) Newest(ctx context.Context, id channel.ID, most int) (ids []proto.ID, length int, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	key := strings.TrimSuffix(l.head, "head") + "c:" + id.String()
	pipe := l.rdb.Pipeline()
	count, newest := pipe.LLen(ctx, key), pipe.LRange(ctx, key, int64(-most), -1)
	if _, err = pipe.Exec(ctx); err != nil {
		return nil, 0, fmt.Errorf("look at a channel of portal %q: %w", l.portal, err)
	}
	for _, text := range newest.Val() {
		if id, err := proto.ParseID(text); err == nil {
			ids = append(ids, id)
		}
	}
	return ids, int(count.Val()), nil
}
