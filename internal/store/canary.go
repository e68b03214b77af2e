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

// errOneWay is said of a connection that is alive, to a server where nobody publishes: a master that another has replaced, for one.
var errOneWay = errors.New("what is published does not arrive: the connection is to another server than commands go to")

// canary publishes on a topic of its own, by the way that all commands go, and wants to hear it over the connection. It ends with an
// error if it does not, or when ctx ends.
func (k *link) canary(ctx context.Context) error {
	cfg := k.links.cfg
	ticker := time.NewTicker(cfg.Canary)
	defer ticker.Stop()
	for {
		tag := k.anyTopic()
		if tag == "" {
			return nil // the last listener is leaving
		}
		// By its hash tag a cluster keeps the topic where it keeps the portal's.
		place := k.add(strings.TrimSuffix(tag, notifySuffix) + "canary:" + rand.Text())
		err := k.sing(ctx, ticker, place)
		k.remove(place)
		if err != nil {
			return err
		}
	}
}

// sing is canary until its topic is gone to another node.
func (k *link) sing(ctx context.Context, ticker *time.Ticker, place *listener) error {
	up, unheard := false, 0
	var sent time.Time // of what has not been heard yet
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-place.wake:
			for _, e := range place.grab(nil) {
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
			// One that was not heard may have met a slot on its way to another node.
			if unheard > 1 || !sent.IsZero() && time.Since(sent) > k.links.cfg.Silence {
				return errOneWay
			}
			if !up {
				continue
			}
			if sent.IsZero() {
				sent = time.Now()
			}
			// An error says nothing of the connection: Redis is slow or away, and appends fail too.
			if heard, err := k.links.publish(ctx, place.topic); err != nil {
				sent = time.Time{}
			} else if heard == 0 {
				if !k.links.sharded {
					return errOneWay
				}
				unheard++
			}
		}
	}
}

// anyTopic gives the topic of a portal that is followed over k, or nothing.
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

// publish publishes next to nothing, and gives how many connections have heard it.
func (ls *links) publish(ctx context.Context, topic string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, ls.cfg.Timeout)
	defer cancel()
	if ls.sharded {
		return ls.rdb.SPublish(ctx, topic, "").Result()
	}
	return ls.rdb.Publish(ctx, topic, "").Result()
}
