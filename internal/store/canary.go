package store

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"
)

// notifySuffix ends the name of every portal's topic.
const notifySuffix = "notify"

// errOneWay reports a connection that is alive, but to a server where nobody publishes: for example
// to a former master.
var errOneWay = errors.New("published messages do not arrive: the subscription is connected to another server than commands")

// canary publishes probes on a topic of its own, by the route of all commands, and expects them
// back over the connection. It returns an error if one does not come back, or when ctx ends.
func (k *link) canary(ctx context.Context) error {
	cfg := k.links.cfg
	ticker := time.NewTicker(cfg.Canary)
	defer ticker.Stop()
	for {
		tag := k.anyTopic()
		if tag == "" {
			return nil // the last listener is leaving
		}
		// The hash tag makes a cluster keep the topic on the portal's node.
		lis := k.add(strings.TrimSuffix(tag, notifySuffix) + "canary:" + rand.Text())
		err := k.probe(ctx, ticker, lis)
		k.remove(lis)
		if err != nil {
			return err
		}
	}
}

// probe is the loop of canary on one topic. It returns nil when the topic has moved to another
// node.
func (k *link) probe(ctx context.Context, ticker *time.Ticker, lis *listener) error {
	up, unheard := false, 0
	var sent time.Time // of the probe that has not come back yet
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-lis.wake:
			for _, e := range lis.grab(nil) {
				switch e.kind {
				case made:
					up = true
				case message:
					if !sent.IsZero() {
						k.links.cfg.Heard(time.Since(sent))
					}
					sent, unheard = time.Time{}, 0
				default:
					return nil
				}
			}
		case <-ticker.C:
			// A probe that nobody received may have been published while its slot moved to another
			// node.
			if unheard > 1 || !sent.IsZero() && time.Since(sent) > k.links.cfg.Silence {
				return errOneWay
			}
			if !up {
				continue
			}
			if sent.IsZero() {
				sent = time.Now()
			}
			// An error says nothing about the connection: Redis is slow or down, and appends fail,
			// too.
			if received, err := k.links.publish(ctx, lis.topic); err != nil {
				sent = time.Time{}
			} else if received == 0 {
				if !k.links.sharded {
					return errOneWay
				}
				unheard++
			}
		}
	}
}

// anyTopic returns the topic of a portal that is followed over k, or "" if there is none.
func (k *link) anyTopic() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name := range k.topics {
		if strings.HasSuffix(name, notifySuffix) {
			return name
		}
	}
	return ""
}

// publish publishes an empty message and returns how many connections received it.
func (ls *links) publish(ctx context.Context, topic string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, ls.cfg.Timeout)
	defer cancel()
	if ls.sharded {
		return ls.rdb.SPublish(ctx, topic, "").Result()
	}
	return ls.rdb.Publish(ctx, topic, "").Result()
}
