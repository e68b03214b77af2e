package handover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// Record is a WebSocket session at rest, with all that the successor must know. It is little, since
// a session is a cursor into the log.
type Record struct {
	Portal  string // client id; empty for the personal portal
	Dialect string // wire form
	// Channels are those that it watches, checked when it subscribed: at least one, without
	// duplicates.
	Channels []channel.ID
	Public   channel.ID // its own public id; zero if it has none
	User     int64      // user of its token; 0 if it has none
	Expires  time.Time  // expiry of its token; zero if it has none
	Cursor   proto.ID   // the client has everything up to this id
	Statuses []int64    // users whose online status it watches
	// Hash of its token, at most 16 bytes; empty if it has none. Successors of earlier versions do
	// not know it, and get the session without it.
	Token []byte
}

// version is the version of the messages. Only processes with the same version can replace each
// other.
const version = 1

// maxMessage is the longest message, in bytes. A session with as many channels and users as allowed
// takes half of it.
const maxMessage = 64 << 10

// maxListed is how many channels or users a record may have.
const maxListed = 10_000

// errMessage means that a packet is not a message of this version.
var errMessage = errors.New("not a message of this version")

// message is what the processes send each other. A session is sent with its descriptor, and the
// names of listeners with theirs.
type message struct {
	// From the successor.
	Version int    `json:"version,omitempty"` // its version
	Ready   bool   `json:"ready,omitempty"`   // it can take sessions
	Taken   bool   `json:"taken,omitempty"`   // it has taken the session
	Refused string `json:"refused,omitempty"` // why it has not taken the session

	// From the predecessor.
	Listeners []string `json:"listeners,omitempty"` // addresses; "" is this protocol's socket
	Session   *session `json:"session,omitempty"`
	Off       string   `json:"off,omitempty"` // why it stays
}

// session is a [Record] in a message.
type session struct {
	Portal   string    `json:"portal,omitempty"`
	Dialect  string    `json:"dialect"`
	Channels []string  `json:"channels"`
	Public   string    `json:"public,omitempty"`
	User     int64     `json:"user,omitempty"`
	Expires  time.Time `json:"expires,omitzero"`
	Cursor   string    `json:"cursor"`
	Statuses []int64   `json:"statuses,omitempty"`
	Token    []byte    `json:"token,omitempty"`
}

func (r Record) session() *session {
	s := &session{Portal: r.Portal, Dialect: r.Dialect, Public: r.Public.String(), User: r.User, Expires: r.Expires,
		Cursor: r.Cursor.String(), Statuses: r.Statuses, Token: r.Token}
	for _, id := range r.Channels {
		s.Channels = append(s.Channels, id.String())
	}
	return s
}

// record checks all that can be checked without knowing the portal. The error contains no ids,
// which are secrets.
func (s *session) record() (Record, error) {
	r := Record{Portal: s.Portal, Dialect: s.Dialect, User: s.User, Expires: s.Expires, Statuses: s.Statuses, Token: s.Token}
	if len(s.Channels) == 0 || len(s.Channels) > maxListed || len(s.Statuses) > maxListed || len(s.Token) > 16 {
		return Record{}, fmt.Errorf("%w: %d channels, %d users", errMessage, len(s.Channels), len(s.Statuses))
	}
	for _, text := range s.Channels {
		id, err := channel.Restore(text)
		if err != nil {
			return Record{}, err
		}
		if slices.Contains(r.Channels, id) {
			return Record{}, fmt.Errorf("%w: duplicate channel", errMessage)
		}
		r.Channels = append(r.Channels, id)
	}
	var err error
	if s.Public != "" {
		if r.Public, err = channel.Restore(s.Public); err != nil {
			return Record{}, err
		}
		// A predecessor of an older build lists the public id itself instead of its channel.
		own, public := slices.Index(r.Channels, r.Public), channel.ForPublic(r.Public)
		if own >= 0 && !public.IsZero() && !slices.Contains(r.Channels, public) {
			r.Channels[own] = public
		}
	}
	if r.Cursor, err = proto.ParseID(s.Cursor); err != nil {
		return Record{}, err
	}
	return r, nil
}

// decode decodes a message. An unknown field is an error, because a session without it would not be
// the same.
func decode(text []byte) (m message, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return message{}, errMessage // err may contain a secret
	}
	if _, err := d.Token(); err != io.EOF {
		return message{}, errMessage
	}
	return m, nil
}
