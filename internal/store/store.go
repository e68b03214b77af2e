// Package store is the log in Redis: messages that live until they expire, lists of them by
// channel, notifications of them, presence, and the statistics of processes.
//
// No lock of this package is held while another one is taken, Redis is asked or a follower is
// called.
package store

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/contain"
	"pushgate/internal/policy"
	"pushgate/internal/proto"
	"pushgate/internal/store/pubsub"
)

// How long the store keeps what it holds.
const (
	// A channel's list of ids, after its last message that is not transient.
	ListLife      = 24 * time.Hour
	PresenceLease = 15 * time.Second    // an edge's presence, after its last [Log.SetPresence]
	SeenLife      = 30 * 24 * time.Hour // when a user was last seen
	// A process's statistics, after its last [Store.PutProcess].
	ProcessLease = 30 * time.Second
)

// Config says how a store works. A zero field takes its default.
type Config struct {
	ChannelCap int // most ids that a channel keeps; 10,000
	// How long after its first message a channel accepts more, to the millisecond; default: for
	// ever.
	WriteWindow  time.Duration
	PageMessages int // most messages in a page of history; 100
	PageBytes    int // most bytes of records in a page that has more than one; 256 KiB

	// How many replicas must have a message before it is acknowledged; default: none.
	Replicas policy.ReplicaRules

	Timeout time.Duration // within which an append is answered; 700 ms
	Ping    time.Duration // between two pings of the connection for notifications; 1 s
	Silence time.Duration // after which a silent connection is taken for dead; 3 s
	// Between two probes, which the connection for notifications must bring back; 1 s.
	Canary time.Duration

	// Damaged is called for every record that does not decode, notified or read; such a message can
	// never be delivered. It may be called concurrently. May be nil.
	Damaged func(id proto.ID, err error)
	// Heard is called with the time that each probe took to come back. It may be called
	// concurrently. May be nil.
	Heard func(took time.Duration)
	// Panics receives the panics in what follows the log, which are recovered: the follower gets
	// Down, and Resync after a new subscription. Nil: no panic is recovered.
	Panics contain.Report
}

// WithDefaults returns c with its zero fields set to their defaults.
func (c Config) WithDefaults() Config {
	or(&c.ChannelCap, 10_000)
	or(&c.PageMessages, 100)
	or(&c.PageBytes, 256<<10)
	or(&c.Timeout, 700*time.Millisecond)
	or(&c.Ping, time.Second)
	or(&c.Silence, 3*time.Second)
	or(&c.Canary, time.Second)
	if c.Damaged == nil {
		c.Damaged = func(proto.ID, error) {}
	}
	return c
}

func or[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Store holds the logs of all portals in one Redis, and the statistics of processes. Its methods
// may be called concurrently. Their errors are as those of a [Log].
type Store struct {
	rdb        redis.UniversalClient // immutable
	cfg        Config                // immutable
	subscriber *pubsub.Subscriber    // immutable

	noConfig atomic.Bool // a server has refused CONFIG GET

	mu   sync.Mutex
	logs map[string]*Log
}

// New returns a store on a client, preferably one from [Open]. The caller owns the client and
// closes it after the last use of the store. The client must respect the deadlines of contexts
// (redis.Options.ContextTimeoutEnabled), or Config.Timeout has no effect.
func New(rdb redis.UniversalClient, cfg Config) *Store {
	cfg = cfg.WithDefaults()
	return &Store{rdb: rdb, cfg: cfg, subscriber: newSubscriber(rdb, cfg), logs: make(map[string]*Log)}
}

func newSubscriber(rdb redis.UniversalClient, cfg Config) *pubsub.Subscriber {
	return pubsub.New(rdb, pubsub.Config{
		Timeout: cfg.Timeout, Ping: cfg.Ping, Silence: cfg.Silence, Canary: cfg.Canary, Heard: cfg.Heard, Panics: cfg.Panics,
	})
}

// Log returns the log of a portal, the same one at every call. The name must not contain braces,
// which mark the part of a key that decides where a cluster keeps it.
func (s *Store) Log(portal string) *Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.logs[portal]
	if l == nil {
		prefix := "pg:{" + portal + "}:"
		l = &Log{rdb: s.rdb, cfg: s.cfg, subscriber: s.subscriber, portal: portal, head: prefix + "head", topic: prefix + "notify", seen: prefix + "seen", revoked: prefix + "revoked",
			append: appendScript}
		if s.subscriber.Sharded() {
			l.append = shardedScript
		}
		s.logs[portal] = l
	}
	return l
}

// Log is one portal's log. Its methods may be called concurrently. None of them but Follow returns
// earlier because its context is cancelled while Redis works for it; deadlines are respected. Their
// errors say what failed and wrap the cause: a [redis.Error], which Redis has answered, or an error
// of the network or of the context, after which what was asked may have been done all the same.
type Log struct {
	rdb        redis.UniversalClient // immutable
	cfg        Config                // immutable, with defaults
	subscriber *pubsub.Subscriber    // immutable
	portal     string                // immutable
	// Immutable: a key, whose hash tag decides where all the portal's keys are.
	head  string
	topic string // immutable
	seen  string // immutable: the key of when users were last seen
	// Immutable: the key of what is put out.
	revoked string
	append  script // immutable: the one that publishes where followers listen

	mu    sync.Mutex
	known proto.ID // the newest id that Redis has returned
	busy  bool     // a post leads the queue or has been signalled to
	queue []*post  // posts that wait, in order of arrival; empty unless busy
}

// Head returns the id of the newest message of the portal, or the zero ID if there never was one.
// known is the newest id that the caller has from this log, or the zero ID; if the log is behind
// it, Redis has lost data, and Head opens a new epoch, so that no id is assigned twice. Do not pass
// an id that a client claims to know.
func (l *Log) Head(ctx context.Context, known proto.ID) (proto.ID, error) {
	text, err := run(ctx, l.rdb, headScript, l.head, cursor(known)).Text()
	if err != nil {
		return proto.ID{}, fmt.Errorf("read the head of portal %q: %w", l.portal, err)
	}
	head, err := parseID(text)
	if err != nil {
		return proto.ID{}, fmt.Errorf("read the head of portal %q: %w", l.portal, err)
	}
	l.learn(head)
	return head, nil
}

func (l *Log) learn(id proto.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id.After(l.known) {
		l.known = id
	}
}

func (l *Log) knows() proto.ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known
}

// cursor returns an id as scripts take it: the zero ID is empty, and so before all others.
func cursor(id proto.ID) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

// parseID decodes an id in a script's reply.
func parseID(s string) (proto.ID, error) {
	if s == "" {
		return proto.ID{}, nil
	}
	return proto.ParseID(s)
}
