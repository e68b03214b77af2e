package store

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// PresenceRemains is how long the presence of an edge outlives its lease, so that other edges can
// tell which users left with it.
const PresenceRemains = 10 * time.Minute

// presenceBatch bounds the changes that one call of the script takes.
const presenceBatch = 500

// SetPresence writes how many sessions of an edge watch which channels, and renews the edge's lease
// of PresenceLease. The changes apply to what was written before; with replace they are the whole
// set. kept is false if what was written before is gone, because the lease ended or Redis lost it:
// then nothing was changed, or only a part of many changes, and the caller must replace.
//
// moved has the users that came or left by the call: those whose first session of all edges this
// edge has, or whose last it had, and those that were left by edges whose lease has ended, unless
// that was minutes ago. The same call records when they were seen. Of two edges that change the
// same user at the same time, only one gets it in moved.
func (l *Log) SetPresence(ctx context.Context, edge string, changes []proto.Presence, replace bool) (moved []proto.Status, kept bool, err error) {
	for {
		n := min(len(changes), presenceBatch)
		some, kept, err := l.setPresence(ctx, edge, changes[:n], replace, n == len(changes))
		moved = append(moved, some...)
		if err != nil {
			return moved, false, fmt.Errorf("write the presence of edge %q: %w", edge, err)
		}
		if !kept || n == len(changes) {
			return moved, kept, nil
		}
		changes, replace = changes[n:], false
	}
}

func (l *Log) setPresence(ctx context.Context, edge string, changes []proto.Presence, replace, last bool) ([]proto.Status, bool, error) {
	args := make([]any, 0, 6+2*len(changes))
	args = append(args, edge, PresenceLease.Milliseconds(), replace, last, int64(SeenLife/time.Second), PresenceRemains.Milliseconds())
	for _, p := range changes {
		args = append(args, p.Channel.String(), p.Sessions)
	}
	reply, err := run(ctx, l.rdb, presenceScript, l.head, args...).Slice()
	if err != nil {
		return nil, false, err
	}
	if len(reply)%2 != 1 {
		return nil, false, errReply
	}
	var moved []proto.Status
	for i := 1; i < len(reply); i += 2 {
		text, _ := reply[i].(string)
		id, err := channel.Restore(text)
		user, ok := id.User()
		if err != nil || !ok {
			return nil, false, errReply
		}
		moved = append(moved, proto.Status{User: user, Online: reply[i+1] == int64(1)})
	}
	return moved, reply[0] == int64(1), nil
}

// Online returns for each channel, in their order, how many sessions of all edges watch it. Edges
// whose lease has ended do not count.
func (l *Log) Online(ctx context.Context, channels []channel.ID) ([]int, error) {
	args := make([]any, len(channels))
	for i, id := range channels {
		args[i] = id.String()
	}
	online, err := counts(run(ctx, l.rdb, onlineScript, l.head, args...), len(channels))
	if err != nil {
		return nil, fmt.Errorf("read the sessions online: %w", err)
	}
	return online, nil
}

// counts decodes a reply of n counts.
func counts(cmd *redis.Cmd, n int) ([]int, error) {
	sums, err := cmd.Int64Slice()
	if err == nil && len(sums) != n {
		err = errReply
	}
	if err != nil {
		return nil, err
	}
	all := make([]int, n)
	for i, sum := range sums {
		all[i] = int(sum)
	}
	return all, nil
}
