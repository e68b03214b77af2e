// Package proto defines messages and their ids, the record of a message in the log, what the log is
// asked and answers, and the errors of the protocol.
package proto

import (
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"pushgate/internal/channel"
)

// Limits of a message. Publishers enforce them, and [DecodeRecord] refuses records beyond them.
const (
	// Channels of one message. It is large because a portal of version 5 names all users and their
	// channels in one message.
	MaxReceivers = 1 << 14
	MaxType      = 64       // bytes of a message type
	MaxKey       = 64       // bytes of the key of a message
	MaxBody      = 64 << 20 // bytes of a body

	MaxUserParams = 1 << 16 // users with params of their own in one message

	// The longest life of a message, and its life if nothing else is said.
	MaxTTL = 24 * time.Hour
)

// Message is one published message. Once other goroutines may read it, it must not be changed,
// except for Encodings, which may be used concurrently. Use it by pointer.
type Message struct {
	ID        ID // zero until the log has assigned one
	Receivers []channel.ID
	Sender    Sender        // zero if the record does not say
	Type      string        // "module_command", or empty if not known
	Body      []byte        // as published, checked by [CheckBody]
	Created   time.Time     // when a publisher accepted it, to the microsecond
	TTL       time.Duration // how long the log holds it, to the millisecond; 0 if it is transient
	Received  time.Time     // when this process decoded it; not part of the record
	// The idempotency key: of messages with the same key the log stores only the first. Empty if
	// the message has none; not part of the record.
	Key string

	// Params for single users, in addition to the body, sorted by user, each user once; see
	// [Compose]. Only clients of version 5 get them.
	UserParams []UserParams

	Trace *Trace // nil unless the post of the message was sampled

	// Encodings caches the encoded message for package wire, which sets it. It is not part of the
	// record.
	Encodings atomic.Value
}

// Sender is who a message is from, as checked by the server. Readers obey a portal, and must not
// obey a client.
type Sender struct {
	Type SenderType
	// The public id of a client, or the channel of a user of version 5; zero for the portal.
	ID channel.ID
}

// Name returns the sender's id as readers see it: the number of a user of version 5, else a public
// id, and "" if there is none.
func (s Sender) Name() string {
	if user, ok := s.ID.User(); ok {
		return strconv.FormatInt(user, 10)
	}
	return s.ID.String()
}

// SenderType is a kind of sender, by its number on the wire.
type SenderType uint8

// The kinds of senders.
const (
	SenderUnknown SenderType = 0
	SenderClient  SenderType = 1
	SenderBackend SenderType = 2
)

// To returns a copy of m for other receivers, with no id and nothing cached.
func (m *Message) To(receivers []channel.ID) *Message {
	return &Message{Receivers: receivers, Sender: m.Sender, Type: m.Type, Body: m.Body, Created: m.Created, TTL: m.TTL, Key: m.Key, UserParams: m.UserParams, Trace: m.Trace}
}

// Transient reports whether m is delivered only to connected sessions. Its id keeps its place in
// the order, but the log does not store it.
func (m *Message) Transient() bool { return m.TTL == 0 }

// Expired reports whether m has been in this process for longer than its TTL. It compares times of
// one clock, so that a difference between the clocks of machines loses no message.
func (m *Message) Expired(now time.Time) bool {
	return !m.Transient() && now.Sub(m.Received) > m.TTL
}

// Via returns the index of the first receiver of m that is one of channels, or -1.
func (m *Message) Via(channels []channel.ID) int {
	return slices.IndexFunc(m.Receivers, func(id channel.ID) bool { return slices.Contains(channels, id) })
}

// Page is one snapshot of a portal's log: what it holds for some channels after a cursor.
type Page struct {
	Messages []*Message // in id order, each once
	// The page is complete up to and including this id, the newest of the log unless More is set.
	Through ID
	More    bool // the log holds more after Through
	Head    ID   // the newest id of the portal; a cursor after it cannot be trusted
	// The newest id after the cursor that may be missing; zero if none is. See Gap.
	Lost ID
}

// Gap reports whether the log has lost messages after the cursor before they expired: it trimmed
// them by a cap, or lost them with an epoch, or the cursor is ahead of the log. It may report a gap
// where there is none, but it never misses one.
func (p Page) Gap() bool { return !p.Lost.IsZero() }

// Question asks what a portal's log holds for some channels after a cursor.
type Question struct {
	Channels []channel.ID
	After    ID
}

// Answer is one page, or why there is none.
type Answer struct {
	Page Page
	Err  error
}

// Receipt is the answer of the log to one message that was appended.
type Receipt struct {
	ID ID // zero if all receivers were closed
	// Receivers that did not get the message, because their write window was over.
	Closed []channel.ID

	// A message with the same key was appended before. ID is the id of that message, and nothing
	// was stored.
	Repeated bool
}

// Follower receives the notifications of one log. One goroutine calls it.
type Follower interface {
	// Resync says that notifications arrive from now on, and that any number of them may have been
	// missed before. head is the newest id.
	Resync(head ID)
	// Dispatch passes on the next message. Ids come in order, and none is left out between two
	// calls of Resync.
	Dispatch(m *Message)
	// Down says that notifications have stopped and why; the next call is Resync.
	Down(err error)
}

// Presence is how many sessions of one edge watch a channel. Zero removes the channel from the
// edge's list.
type Presence struct {
	Channel  channel.ID
	Sessions int
}

// Status says that a user has come online or gone offline.
type Status struct {
	User   int64
	Online bool
}

// Seen is when a user was active.
type Seen struct {
	User int64
	At   time.Time
}
