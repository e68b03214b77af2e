package pubsub

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"
)

// errOneWay reports a connection that is alive, but to a server where nobody publishes: for example
// to a former master.
var errOneWay = errors.New("published messages do not arrive: the subscription is connected to another server than commands")

// canary publishes probes on a topic of its own, by the route of all commands, and expects them
// back over the connection. It returns an error if one does not come back, or when ctx ends.
//
// The subscription can look healthy and deliver nothing: a former master answers pings, but nobody
// publishes there.
func (k *link) canary(ctx context.Context) error {
	ticker := time.NewTicker(k.subscriber.cfg.Canary)
	defer ticker.Stop()
	for {
		topic := k.anyTopic()
		if topic == "" {
			return nil // the last listener is leaving
		}
		if err := k.probe(ctx, ticker, canaryTopic(topic)); err != nil {
			return err
		}
	}
}

// canaryTopic returns a topic that nobody else uses, on the same node as another topic: a cluster
// decides by what is in braces.
func canaryTopic(other string) string {
	return other[:strings.IndexByte(other, '}')+1] + ":canary:" + rand.Text()
}

// probe is the loop of canary on one topic. It returns nil when the topic has moved to another
// node.
func (k *link) probe(ctx context.Context, ticker *time.Ticker, topic string) error {
	lis := k.add(topic)
	defer k.remove(lis)
	up, unheard := false, 0
	var sent time.Time // of the probe that has not come back yet
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-lis.wake:
			for _, e := range lis.grab(nil) {
				switch e.Kind {
				case Subscribed:
					up = true
				case Message:
					if !sent.IsZero() && k.subscriber.cfg.Heard != nil {
						k.subscriber.cfg.Heard(time.Since(sent))
					}
					sent, unheard = time.Time{}, 0
				default:
					return nil
				}
			}
		case <-ticker.C:
			// A probe that nobody received may have been published while its slot moved to another
			// node.
			if unheard > 1 || !sent.IsZero() && time.Since(sent) > k.subscriber.cfg.Silence {
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
			if received, err := k.subscriber.publish(ctx, lis.topic); err != nil {
				sent = time.Time{}
			} else if received == 0 {
				if !k.subscriber.sharded {
					return errOneWay
				}
				unheard++
			}
		}
	}
}

// anyTopic returns a topic that has listeners, or "" if there is none.
func (k *link) anyTopic() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name := range k.topics {
		return name
	}
	return ""
}

// publish publishes an empty message and returns how many connections received it.
func (s *Subscriber) publish(ctx context.Context, topic string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	if s.sharded {
		return s.rdb.SPublish(ctx, topic, "").Result()
	}
	return s.rdb.Publish(ctx, topic, "").Result()
}
