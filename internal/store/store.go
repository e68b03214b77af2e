// Package store is the log in Redis: messages that live until they expire, lists of them by channel, notifications of them, and
// what processes tell of themselves.
//
// Locks are taken in this order:
//
//	listener.turn, then whatever lock the follower takes, Log.mu, links.mu, link.mu
//	link.mu, then listener.mu
//
// Log.mu, links.mu and link.mu are never held together. Whoever has link.mu must not wait for a turn:
// the link takes it with TryLock, and only while it holds no lock.
package store

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/contain"
	"pushgate/internal/policy"
	"pushgate/internal/proto"
)

// Lives of what the store keeps.
const (
	ListLife      = 24 * time.Hour      // of a channel's list of ids, after its last message that is not transient
	PresenceLease = 15 * time.Second    // of an edge's presence, after its last [Log.SetPresence]
	SeenLife      = 30 * 24 * time.Hour // of when a user was last seen
	ProcessLease  = 30 * time.Second    // of a process's statistics, after its last [Store.PutProcess]
)

// Config says how a store works. A zero field takes its default.
type Config struct {
	ChannelCap   int           // ids that a channel keeps at most; 10,000
	WriteWindow  time.Duration // how long after its first message a channel takes more, to the millisecond; for ever
	PageMessages int           // messages in a page of history at most; 100
	PageBytes    int           // bytes of records in a page that has more than one; 256 KiB

	Replicas policy.ReplicaRules // how many replicas must have a message before it is acknowledged; none

	Timeout time.Duration // in which an append is answered; 700 ms
	Ping    time.Duration // between two questions whether the link of notifications is alive; 1 s
	Silence time.Duration // after which a link that says nothing is dead; 3 s
	Canary  time.Duration // between two messages to oneself, which must be heard over the link of notifications; 1 s

	// Damaged is told of every record that does not decode, notified or read; such a message cannot be delivered by any means.
	// It may be called concurrently. Nil: nobody is told.
	Damaged func(id proto.ID, err error)
	// Heard is told how long each message to oneself took. It may be called concurrently. Nil: nobody is told.
	Heard func(took time.Duration)
	// Panics is told of panics in what follows the log, which are recovered: the follower is told Down, and Resync after a new
	// subscription. Nil: none is recovered.
	Panics contain.Report
}

// WithDefaults gives c with its zero fields filled in.
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
	if c.Heard == nil {
		c.Heard = func(time.Duration) {}
	}
	return c
}

func or[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Store is the logs of all portals in one Redis, and the statistics of processes. Its methods may be called concurrently.
type Store struct {
	rdb   redis.UniversalClient // immutable
	cfg   Config                // immutable
	links *links                // immutable

	mu   sync.Mutex
	logs map[string]*Log
}

// New makes a store on a client, best one from [Open]. The caller keeps the client and closes it after the last use of the store.
// The client must respect the deadlines of contexts (redis.Options.ContextTimeoutEnabled), or Config.Timeout holds nothing.
func New(rdb redis.UniversalClient, cfg Config) *Store {
	cfg = cfg.WithDefaults()
	return &Store{rdb: rdb, cfg: cfg, links: newLinks(rdb, cfg), logs: make(map[string]*Log)}
}

// Log gives the log of a portal, the same one at every call. The name must not contain braces, which mark the part of a key that
// decides where a cluster keeps it.
func (s *Store) Log(portal string) *Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.logs[portal]
	if l == nil {
		prefix := "pg:{" + portal + "}:"
		l = &Log{rdb: s.rdb, cfg: s.cfg, links: s.links, portal: portal, head: prefix + "head", topic: prefix + notifySuffix, seen: prefix + "seen",
			append: appendScript}
		if s.links.sharded {
			l.append = shardedScript
		}
		s.logs[portal] = l
	}
	return l
}

// Log is one portal's log. Its methods may be called concurrently. None of them returns earlier because its context is cancelled
// while Redis works for it; deadlines are respected.
type Log struct {
	rdb    redis.UniversalClient // immutable
	cfg    Config                // immutable, with defaults
	links  *links                // immutable
	portal string                // immutable
	head   string                // immutable: the key, and by its hash tag the place of all the portal's keys
	topic  string                // immutable
	seen   string                // immutable: the key of when users were last seen
	append script                // immutable: the one whose notifications are heard

	mu    sync.Mutex
	known proto.ID // the newest id that Redis has told of
	busy  bool     // an append leads the line or has been named to
	line  []*post  // appends that wait, in order of arrival; nobody waits unless busy
}

// Head gives the id of the newest message of the portal, or the zero ID. known is the newest id that the caller has from this log,
// or the zero ID; if the log is behind it, Redis has lost data, and the log is raised into a new epoch, so that no id is
// given twice. An id that somebody else claims to know must not be passed.
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

// cursor is how scripts are given an id: the zero ID is empty, and so before all others.
func cursor(id proto.ID) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

// parseID reads what scripts give for an id.
func parseID(s string) (proto.ID, error) {
	if s == "" {
		return proto.ID{}, nil
	}
	return proto.ParseID(s)
}
