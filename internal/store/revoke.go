package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
	"pushgate/internal/revoke"
)

var errUnconfirmed = errors.New("it applies now, but may be lost with the master, so ask again")

// Revoke puts out an entry until a time, to the second, and notifies the followers in the same
// step, by a message on [channel.Revocations] whose body is a [revoke.Note]. A second call replaces
// the time. It returns [revoke.ErrFull] if the portal has [revoke.MaxEntries] others.
//
// It waits until as many replicas have the entry as messages without a type need, and at least one
// if the master has any. If they do not confirm it in time, Revoke fails although the entry is
// there.
func (l *Log) Revoke(ctx context.Context, entry revoke.Entry, until time.Time) error {
	return l.changeRevoked(ctx, revoke.Note{Entry: entry, Until: until.Unix()})
}

// Lift takes an entry back. It is no error if there is none. It waits for replicas as Revoke does.
func (l *Log) Lift(ctx context.Context, entry revoke.Entry) error {
	return l.changeRevoked(ctx, revoke.Note{Entry: entry})
}

func (l *Log) changeRevoked(ctx context.Context, note revoke.Note) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	client, err := l.master(ctx)
	if err != nil {
		return fmt.Errorf("write revocation of portal %q: %w", l.portal, err)
	}
	conn := client.Conn() // WAIT counts what was written over its own connection
	defer conn.Close()
	replicas, err := l.writeRevoked(ctx, conn, note)
	if err != nil {
		if cluster, ok := l.rdb.(*redis.ClusterClient); ok && !errors.Is(err, revoke.ErrFull) {
			cluster.ReloadState(ctx) // it may have moved the portal
		}
		return fmt.Errorf("write revocation of portal %q: %w", l.portal, err)
	}
	least := max(l.cfg.Replicas.Replicas(""), min(replicas, 1))
	if least == 0 {
		return nil
	}
	limit, _ := ctx.Deadline()
	n, err := conn.Wait(ctx, least, max(time.Until(limit)*3/4, time.Millisecond)).Result()
	if err == nil && int(n) < least {
		err = fmt.Errorf("%w: %d of %d", errReplicas, n, least)
	}
	if err != nil {
		return fmt.Errorf("write revocation of portal %q: %w: %w", l.portal, errUnconfirmed, err)
	}
	return nil
}

// writeRevoked runs the script over conn, and returns how many replicas the server has.
func (l *Log) writeRevoked(ctx context.Context, conn *redis.Conn, note revoke.Note) (replicas int, err error) {
	s := revokeScript
	if l.subscriber.Sharded() {
		s = shardedRevokeScript
	}
	record := proto.AppendRecord(nil, RevocationMessage(note, time.Now()))
	reply, err := run(ctx, conn, s, l.head, cursor(l.knows()), string(note.Entry), note.Until, revoke.MaxEntries, int64(revoke.MaxLife/time.Second), record).Slice()
	if err != nil {
		return 0, err
	}
	if len(reply) != 2 {
		return 0, errReply
	}
	if reply[0] == "" {
		return 0, revoke.ErrFull
	}
	id, err := replyID(reply[0])
	if err != nil {
		return 0, err
	}
	l.learn(id)
	n, _ := reply[1].(int64)
	return int(n), nil
}

// RevocationMessage returns the message by which a log notifies of a change of its revocations. It
// has the form of any other, because processes of earlier versions dispatch it, to nobody.
func RevocationMessage(note revoke.Note, now time.Time) *proto.Message {
	return &proto.Message{Receivers: []channel.ID{channel.Revocations()}, Sender: proto.Sender{Type: proto.SenderBackend}, Body: note.Body(),
		Created: now.Truncate(time.Microsecond)}
}

// Revocations returns the entries that have not ended, and the version of the set: the id of the
// message that notified of its last change, zero if there was none. The list is nil if the set is
// still that of the version known, or if there was no change at all.
func (l *Log) Revocations(ctx context.Context, known proto.ID) (list revoke.List, version proto.ID, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	reply, err := run(ctx, l.rdb, revocationsScript, l.head, cursor(known)).StringSlice()
	if err == nil && len(reply)%2 != 1 {
		err = errReply
	}
	if err == nil {
		version, err = parseID(reply[0])
	}
	if err != nil {
		return nil, proto.ID{}, fmt.Errorf("read revocations of portal %q: %w", l.portal, err)
	}
	if version == known {
		return nil, version, nil
	}
	list = make(revoke.List, len(reply)/2)
	for i := 1; i < len(reply); i += 2 {
		until, err := strconv.ParseInt(reply[i+1], 10, 64)
		if err != nil {
			return nil, proto.ID{}, fmt.Errorf("read revocations of portal %q: %w", l.portal, errReply)
		}
		list[revoke.Entry(reply[i])] = until
	}
	return list, version, nil
}

// RevokedAny reports whether one of some entries is put out now. There must be one at least.
func (l *Log) RevokedAny(ctx context.Context, entries ...revoke.Entry) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	members := make([]string, len(entries))
	for i, e := range entries {
		members[i] = string(e)
	}
	ends, err := l.rdb.ZMScore(ctx, l.revoked, members...).Result()
	if err != nil {
		return false, fmt.Errorf("read revocations of portal %q: %w", l.portal, err)
	}
	now := float64(time.Now().Unix())
	for _, end := range ends {
		if end > now {
			return true, nil
		}
	}
	return false, nil
}
