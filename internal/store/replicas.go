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

// confirm waits until as many replicas have the messages as Config.Replicas demands, or limit. Other appends do not wait for it: it
// goes by a connection of its own. Nothing is asked of messages that are not stored.
func (l *Log) confirm(ctx context.Context, limit time.Time, msgs []*proto.Message, receipts []proto.Receipt) error {
	least := 0
	var id proto.ID // the newest that waits: replicas get everything in its order
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

// wait gives how many replicas have a message that the present master has, which need not be the one that took it.
func (l *Log) wait(ctx context.Context, id proto.ID, least int) (int, error) {
	node, err := l.links.node(ctx, l.head)
	if err != nil {
		return 0, err
	}
	client, ok := node.(*redis.Client)
	if !ok {
		return 0, errors.New("client has no dedicated connection")
	}
	conn := client.Conn()
	defer conn.Close()
	here, err := run(ctx, conn, confirmScript, l.head, id.String()).Int()
	if err != nil {
		l.links.reload(ctx) // a cluster may have moved the portal
		return 0, err
	}
	if here == 0 {
		return 0, errors.New("the master lost it")
	}
	// Redis must say how far it got before the deadline makes the connection useless.
	limit, _ := ctx.Deadline()
	patience := max(time.Until(limit)*3/4, time.Millisecond)
	n, err := conn.Wait(ctx, least, patience).Result()
	return int(n), err
}
