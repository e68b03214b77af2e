package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/revoke"
)

// revokedNote is the notification that entries have changed. It is shorter than the id with which
// that of a message begins.
const revokedNote = "revoked"

// RevokeFollower is a [proto.Follower] that learns of changes of [Log.Revocations]. Revoked is
// called by the goroutine of Follow. A notification may be lost, as any: what was read before the
// last Resync may be old.
type RevokeFollower interface{ Revoked() }

// Revoke puts out an entry until a time, to the second, and notifies the followers in the same
// step. A second call replaces the time. It returns [revoke.ErrFull] if the portal has
// [revoke.MaxEntries] others. If messages must reach replicas, so must the entry: Revoke fails if
// it does not in time, though it may hold.
func (l *Log) Revoke(ctx context.Context, entry revoke.Entry, until time.Time) error {
	return l.changeRevoked(ctx, entry, until.Unix())
}

// Lift takes an entry back. It is no error if there is none.
func (l *Log) Lift(ctx context.Context, entry revoke.Entry) error {
	return l.changeRevoked(ctx, entry, 0)
}

func (l *Log) changeRevoked(ctx context.Context, entry revoke.Entry, until int64) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	s := revokeScript
	if l.subscriber.Sharded() {
		s = shardedRevokeScript
	}
	least := l.cfg.Replicas.Replicas("")
	var on processor = l.rdb
	var conn *redis.Conn
	if least > 0 { // WAIT counts what was written over its own connection
		client, err := l.master(ctx)
		if err != nil {
			return fmt.Errorf("write revocation: %w", err)
		}
		conn = client.Conn()
		defer conn.Close()
		on = conn
	}
	changed, err := run(ctx, on, s, l.head, string(entry), until, revoke.MaxEntries, int64(revoke.MaxLife/time.Second)).Int()
	switch {
	case err != nil:
		return fmt.Errorf("write revocation: %w", err)
	case changed == 0:
		return revoke.ErrFull
	case least == 0:
		return nil
	}
	limit, _ := ctx.Deadline()
	n, err := conn.Wait(ctx, least, max(time.Until(limit)*3/4, time.Millisecond)).Result()
	if err != nil {
		return fmt.Errorf("write revocation: wait for %d replicas: %w", least, err)
	}
	if int(n) < least {
		return fmt.Errorf("write revocation: %w: %d of %d", errReplicas, n, least)
	}
	return nil
}

// Revocations returns the entries that have not ended, and perhaps some that have.
func (l *Log) Revocations(ctx context.Context) (revoke.List, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	entries, err := l.rdb.ZRangeByScoreWithScores(ctx, l.revoked, &redis.ZRangeBy{Min: "(" + strconv.FormatInt(time.Now().Unix()-60, 10), Max: "+inf"}).Result()
	if err != nil {
		return nil, fmt.Errorf("read revocations of portal %q: %w", l.portal, err)
	}
	list := make(revoke.List, len(entries))
	for _, z := range entries {
		list[revoke.Entry(z.Member.(string))] = time.Unix(int64(z.Score), 0)
	}
	return list, nil
}
