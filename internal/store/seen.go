package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"pushgate/internal/proto"
)

// seenBatch bounds the users that one call of the script takes.
const seenBatch = 1000

// LastSeen gives for each user when it was last seen, to the second: when it came or left, or what SetSeen said. It is the zero time for
// who has not been for SeenLife. Who is here now is what [Log.Online] tells of the users' channels.
func (l *Log) LastSeen(ctx context.Context, users []int64) ([]time.Time, error) {
	if len(users) == 0 {
		return nil, nil
	}
	names := make([]string, len(users))
	for i, user := range users {
		names[i] = strconv.FormatInt(user, 10)
	}
	scores, err := l.rdb.ZMScore(ctx, l.seen, names...).Result()
	if err == nil && len(scores) != len(users) {
		err = errReply
	}
	if err != nil {
		return nil, fmt.Errorf("read who was last seen when: %w", err)
	}
	times := make([]time.Time, len(users))
	for i, score := range scores {
		if score > 0 {
			times[i] = time.Unix(int64(score), 0)
		}
	}
	return times, nil
}

// SetSeen notes when users were seen, to the second. It never makes a time earlier than what is known, nor later than the present.
func (l *Log) SetSeen(ctx context.Context, seen ...proto.Seen) error {
	for len(seen) > 0 {
		n := min(len(seen), seenBatch)
		args := append(make([]any, 0, 1+2*n), int64(SeenLife/time.Second))
		for _, s := range seen[:n] {
			args = append(args, s.User, s.At.Unix())
		}
		if err := run(ctx, l.rdb, seenScript, l.seen, args...).Err(); err != nil {
			return fmt.Errorf("write who was last seen when: %w", err)
		}
		seen = seen[n:]
	}
	return nil
}
