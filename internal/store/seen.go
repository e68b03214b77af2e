package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// seenBatch bounds the users that one call of the script takes.
const seenBatch = 1000

// LastSeen returns for each user how many sessions of all edges it has, as [Log.Online] does of its
// channel, and when it was last seen, to the second: when it came or left, or what SetSeen said.
// That is the zero time for a user not seen for SeenLife. It usually takes one round trip.
func (l *Log) LastSeen(ctx context.Context, users []int64) (sessions []int, seen []time.Time, err error) {
	if len(users) == 0 {
		return nil, nil, nil
	}
	channels, names := make([]any, len(users)), make([]string, len(users))
	for i, user := range users {
		channels[i], names[i] = channel.ForUser(user).String(), strconv.FormatInt(user, 10)
	}
	pipe := l.rdb.Pipeline()
	online := command(ctx, "evalsha", onlineScript.hash, l.head, channels)
	_ = pipe.Process(ctx, once{online})
	scores := pipe.ZMScore(ctx, l.seen, names...)
	_, _ = pipe.Exec(ctx) // the errors stay in the commands
	if redis.HasErrorPrefix(online.Err(), "NOSCRIPT") {
		online = process(ctx, l.rdb, "eval", onlineScript.source, l.head, channels)
	}
	if sessions, err = counts(online, len(users)); err != nil {
		return nil, nil, fmt.Errorf("read which users are online: %w", err)
	}
	times, err := scores.Result()
	if err == nil && len(times) != len(users) {
		err = errReply
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read when users were last seen: %w", err)
	}
	seen = make([]time.Time, len(users))
	for i, score := range times {
		if score > 0 {
			seen[i] = time.Unix(int64(score), 0)
		}
	}
	return sessions, seen, nil
}

// SetSeen records when users were seen, to the second. It never replaces a time by an earlier one,
// and records no time later than the present. After an error, some may have been recorded.
func (l *Log) SetSeen(ctx context.Context, seen ...proto.Seen) error {
	for len(seen) > 0 {
		n := min(len(seen), seenBatch)
		args := append(make([]any, 0, 1+2*n), int64(SeenLife/time.Second))
		for _, s := range seen[:n] {
			args = append(args, s.User, s.At.Unix())
		}
		if err := run(ctx, l.rdb, seenScript, l.seen, args...).Err(); err != nil {
			return fmt.Errorf("write last-seen times: %w", err)
		}
		seen = seen[n:]
	}
	return nil
}
