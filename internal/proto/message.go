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

// Limits of a message. A publisher holds them; decoders of stored records refuse what is beyond.
const (
	// Channels that one message goes to: a portal of version 5 names each user and his channel in
	// one message.
	MaxReceivers = 1 << 14
	MaxType      = 64 // bytes of a message type
	MaxKey       = 64 // bytes of the key of a message
	MaxBody      = 64 << 20

	MaxUserParams = 1 << 16 // users that have params of their own in one message
	// Ceiling of a message's life, and what it lives if nobody says otherwise.
	MaxTTL = 24 * time.Hour
)

// Message is one published message. It is immutable once it has been handed on, and may be shared
// by any number of goroutines; what it caches, it guards itself. Use it by pointer.
type Message struct {
	ID        ID // zero until the log has given it one
	Receivers []channel.ID
	Sender    Sender        // zero in records that do not say
	Type      string        // "module_command", or empty if not known
	Body      []byte        // as published, checked by [CheckBody]
	Created   time.Time     // when a publisher accepted it, to the microsecond
	TTL       time.Duration // how long the log holds it, to the millisecond; 0 if it is transient
	Received  time.Time     // when this process decoded it; not part of the record
	// Of a message that the log takes once, however often it is appended (RFC 9110, 9.2.2); empty
	// if it has none; not part of the record.
	Key string

	// What some readers get beside the body, by rising user, none twice; see [Compose]. Only
	// version 5 can show it.
	UserParams []UserParams

	// Encodings caches the encoded message for package wire, which sets it. It is not part of the
	// record.
	Encodings atomic.Value
}

// Sender is who a message is from, as the server knows it: readers obey a portal, and must not obey
// a client.
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

// To gives a copy of m for other receivers, as it was before the log and any reader had it.
func (m *Message) To(receivers []channel.ID) *Message {
	return &Message{Receivers: receivers, Sender: m.Sender, Type: m.Type, Body: m.Body, Created: m.Created, TTL: m.TTL, Key: m.Key, UserParams: m.UserParams}
}

// Transient reports whether m is delivered only to who is there: it has an id, which keeps its
// place in the order, but the log does not hold it.
func (m *Message) Transient() bool { return m.TTL == 0 }

// Expired reports whether m has been in this process for longer than it was to live. It compares
// readings of one clock, so that a difference between machines never costs a message.
func (m *Message) Expired(now time.Time) bool {
	return !m.Transient() && now.Sub(m.Received) > m.TTL
}

// Via gives the index of the first receiver of m that is one of channels, or -1.
func (m *Message) Via(channels []channel.ID) int {
	return slices.IndexFunc(m.Receivers, func(id channel.ID) bool { return slices.Contains(channels, id) })
}

// Page is one snapshot of a portal's log: what it holds for some channels after a cursor.
type Page struct {
	Messages []*Message // in id order, none twice
	// The page is complete up to and including this id, the newest of the log unless More.
	Through ID
	More    bool // the log holds more after Through
	Head    ID   // the newest id of the portal; a cursor after it cannot be trusted
	// The newest id that may be missing after the cursor; zero if none is: see Gap.
	Lost ID
}

// Gap reports whether messages after the cursor are gone that had not expired: trimmed by a cap,
// lost with an epoch, or those that a cursor ahead of the log tells of. It may report one that was
// none, and never the reverse.
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

// Receipt is what the log says of one message that it was given.
type Receipt struct {
	ID     ID           // zero if every receiver was closed
	Closed []channel.ID // receivers whose write window was over, to which the message did not go

	// A message with the same key had been appended before: ID is that one's, and nothing was done.
	Repeated bool
}

// Follower receives the notifications of one log. One goroutine calls it.
type Follower interface {
	// Resync says that notifications come from now on, that any number may have been missed, and
	// which id is the newest.
	Resync(head ID)
	// Dispatch gives the next message. Ids come in order, and none is left out between two calls of
	// Resync.
	Dispatch(m *Message)
	// Down says that notifications have stopped and why; the next call is Resync.
	Down(err error)
}

// Presence is how many sessions of one edge watch a channel; none takes the channel off the edge's
// list.
type Presence struct {
	Channel  channel.ID
	Sessions int
}

// Status is a user's coming or going.
type Status struct {
	User   int64
	Online bool
}

// Seen is when a user was active.
type Seen struct {
	User int64
	At   time.Time
}
