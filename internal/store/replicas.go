package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/proto"
)

var errReplicas = errors.New("too few replicas have it")

// confirm waits until as many replicas have the messages as Config.Replicas demands, at most until
// limit. It uses a connection of its own, so that other appends do not wait for it. Messages that
// are not stored need no replicas.
func (l *Log) confirm(ctx context.Context, limit time.Time, msgs []*proto.Message, receipts []proto.Receipt) error {
	least := 0
	var id proto.ID // the newest that must wait: replicas receive everything in order
	for i, m := range msgs {
		if receipts[i].ID.IsZero() || m.TTL < time.Millisecond {
			continue
		}
		if n := l.cfg.Replicas.Replicas(m.Type); n > 0 {
			least, id = max(least, n), receipts[i].ID
		}
	}
	if least == 0 {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	n, err := l.wait(ctx, id, least)
	if err != nil {
		return fmt.Errorf("wait for %d replicas: %w", least, err)
	}
	if n < least {
		return fmt.Errorf("%w: %d of %d", errReplicas, n, least)
	}
	return nil
}

// wait returns how many replicas have a message that the present master has. That need not be the
// master that appended it.
func (l *Log) wait(ctx context.Context, id proto.ID, least int) (int, error) {
	client, err := l.master(ctx)
	if err != nil {
		return 0, err
	}
	conn := client.Conn()
	defer conn.Close()
	here, err := run(ctx, conn, confirmScript, l.head, id.String()).Int()
	if err != nil {
		if cluster, ok := l.rdb.(*redis.ClusterClient); ok {
			cluster.ReloadState(ctx) // it may have moved the portal
		}
		return 0, err
	}
	if here == 0 {
		return 0, errors.New("the master has lost the message")
	}
	// Redis must answer before the deadline makes the connection useless.
	limit, _ := ctx.Deadline()
	patience := max(time.Until(limit)*3/4, time.Millisecond)
	n, err := conn.Wait(ctx, least, patience).Result()
	return int(n), err
}

// master returns a client of the node that has the portal's keys.
func (l *Log) master(ctx context.Context) (*redis.Client, error) {
	switch rdb := l.rdb.(type) {
	case *redis.Client:
		return rdb, nil
	case *redis.ClusterClient:
		return rdb.MasterForKey(ctx, l.head)
	default:
		return nil, errors.New("client has no dedicated connection")
	}
}
