package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/proto"
)

// Bounds of a look at what Redis holds, for each server.
const (
	scanSteps = 40  // SCAN commands
	scanCount = 250 // keys that each looks at
	scanPause = 5 * time.Millisecond
	mostTypes = 50 // in an answer; the rest is one more
	mostLists = 20 // biggest channels in an answer
	mostSlow  = 32 // entries of the slow log of each server
)

// Contents is what Redis holds, as a part of its keys shows. Keys come in the order of their
// hashes, so the part is as good as one by chance.
type Contents struct {
	At       time.Time
	Keys     int64     // in the database, on all servers
	Seen     int64     // of these, what was looked at
	Types    []Held    // of messages
	Others   []Held    // what is not a message
	Channels []Channel // those with the most messages
	Lists    int64     // channels that were looked at
}

// Held is what the keys of one kind take.
type Held struct {
	Name      string `json:"type"`     // of the messages, or kind of the keys
	Keys      int64  `json:"messages"` // how many
	Bytes     int64  `json:"bytes"`
	Estimated int64  `json:"estimated_bytes"` // of all keys, if those not seen are alike
}

// Channel is the list of a channel's messages.
type Channel struct {
	Portal   string `json:"portal"`
	Channel  string `json:"channel"`
	Messages int64  `json:"messages"`
	Bytes    int64  `json:"bytes"` // of the list, without the messages
}

// masters returns the clients of all servers that hold portals.
func (s *Store) masters(ctx context.Context) (masters []*redis.Client, err error) {
	switch rdb := s.rdb.(type) {
	case *redis.ClusterClient:
		var mu sync.Mutex
		err = rdb.ForEachMaster(ctx, func(_ context.Context, master *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			masters = append(masters, master)
			return nil
		})
		slices.SortFunc(masters, func(a, b *redis.Client) int { return cmp.Compare(a.Options().Addr, b.Options().Addr) })
	case *redis.Client:
		masters = append(masters, rdb)
	}
	return masters, err
}

// Contents measures the memory of a part of the keys: at most 10,000 of each server, a few hundred
// at a time with pauses. It needs the permissions for SCAN, MEMORY USAGE, GETRANGE and DBSIZE.
func (s *Store) Contents(ctx context.Context) (Contents, error) {
	t := takings{types: make(map[string]*Held), others: make(map[string]*Held)}
	masters, err := s.masters(ctx)
	for _, master := range masters {
		if err == nil {
			err = t.look(ctx, master)
		}
	}
	if err != nil {
		return Contents{}, fmt.Errorf("measure the memory of keys: %w", err)
	}
	return t.contents(), nil
}

// takings is what a look has found.
type takings struct {
	keys, seen    int64
	types, others map[string]*Held
	channels      []Channel
}

// look looks at one server.
func (t *takings) look(ctx context.Context, server *redis.Client) error {
	size, err := server.DBSize(ctx).Result()
	if err != nil {
		return err
	}
	t.keys += size
	var cursor uint64
	for range scanSteps {
		var keys []string
		if keys, cursor, err = server.Scan(ctx, cursor, "", scanCount).Result(); err != nil {
			return err
		}
		if err := t.measure(ctx, server, keys); err != nil {
			return err
		}
		if cursor == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(scanPause):
		}
	}
	return nil
}

// measure measures keys in one round trip.
func (t *takings) measure(ctx context.Context, server *redis.Client, keys []string) error {
	ours := slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return !strings.HasPrefix(key, "pg:") })
	t.seen += int64(len(keys))
	if n := int64(len(keys) - len(ours)); n > 0 {
		hold(t.others, keyForeign, 0)
		t.others[keyForeign].Keys += n - 1
	}
	if keys = ours; len(keys) == 0 {
		return nil
	}
	pipe := server.Pipeline()
	sizes, heads, lengths := make([]*redis.IntCmd, len(keys)), make([]*redis.StringCmd, len(keys)), make([]*redis.IntCmd, len(keys))
	for i, key := range keys {
		sizes[i] = pipe.MemoryUsage(ctx, key)
		switch kind, _, _ := parseKey(key); kind {
		case keyMessage:
			heads[i] = pipe.GetRange(ctx, key, 0, proto.RecordHead-1)
		case keyChannel:
			lengths[i] = pipe.LLen(ctx, key)
		}
	}
	_, _ = pipe.Exec(ctx) // a key may have expired; the errors are in the commands
	for i, key := range keys {
		bytes, err := sizes[i].Result()
		if err == redis.Nil {
			continue
		}
		if err != nil {
			return err
		}
		kind, portal, rest := parseKey(key)
		switch {
		case heads[i] != nil:
			typ, ok := proto.RecordType([]byte(heads[i].Val()))
			if !ok {
				typ = "damaged"
			}
			hold(t.types, typ, bytes)
			continue
		case lengths[i] != nil:
			t.channels = append(t.channels, Channel{portal, rest, lengths[i].Val(), bytes})
		}
		hold(t.others, kind, bytes)
	}
	t.channels = biggest(t.channels)
	return nil
}

func hold(all map[string]*Held, name string, bytes int64) {
	if all[name] == nil {
		all[name] = &Held{Name: name}
	}
	all[name].Keys++
	all[name].Bytes += bytes
}

// biggest returns the channels with the most messages.
func biggest(channels []Channel) []Channel {
	slices.SortFunc(channels, func(a, b Channel) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Portal, b.Portal), cmp.Compare(a.Channel, b.Channel))
	})
	return channels[:min(len(channels), mostLists)]
}

func (t *takings) contents() Contents {
	lists := int64(0)
	if held := t.others[keyChannel]; held != nil {
		lists = held.Keys
	}
	return Contents{Lists: lists, At: time.Now(), Keys: t.keys, Seen: t.seen, Types: t.list(t.types), Others: t.list(t.others), Channels: append([]Channel{}, t.channels...)}
}

// list returns what takes the most first. Beyond mostTypes, the rest is one entry without a name.
func (t *takings) list(all map[string]*Held) []Held {
	list := []Held{}
	for _, held := range slices.SortedFunc(maps.Values(all), func(a, b *Held) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name)) }) {
		if len(list) > mostTypes {
			list[mostTypes].Keys += held.Keys
			list[mostTypes].Bytes += held.Bytes
			continue
		}
		if len(list) == mostTypes {
			held.Name = ""
		}
		list = append(list, *held)
	}
	for i := range list {
		list[i].Estimated = int64(float64(list[i].Bytes) * float64(t.keys) / float64(max(t.seen, 1)))
	}
	return list
}

// Kinds of keys.
const (
	keyMessage = "messages"
	keyChannel = "channels"
	keyPortal  = "portals"   // the rest of what a portal has
	keyProcess = "processes" // what is of no portal
	keyForeign = "foreign"   // what is not ours, and not measured
)

// parseKey returns what a key is of, its portal, and of a channel the id.
func parseKey(key string) (kind, portal, rest string) {
	inner, ok := strings.CutPrefix(key, "pg:{")
	portal, rest, found := strings.Cut(inner, "}:")
	if !ok || !found {
		return keyProcess, "", ""
	}
	if _, ok := strings.CutPrefix(rest, "m:"); ok {
		return keyMessage, portal, ""
	}
	if id, ok := strings.CutPrefix(rest, "c:"); ok {
		return keyChannel, portal, id
	}
	return keyPortal, portal, ""
}
