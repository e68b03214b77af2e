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

// Record is a WebSocket session at rest: all that its successor must know, and next to nothing, since a session is a cursor into the log.
type Record struct {
	Portal   string       // client id; empty for the portal that needs none
	Dialect  string       // in what form the client takes messages
	Channels []channel.ID // that it watches, checked when it came; at least one, and none twice
	Public   channel.ID   // its own public id; zero if it has none
	User     int64        // whose token it brought; 0 if none
	Expires  time.Time    // when its token does; zero if it brought none
	Cursor   proto.ID     // the client has been given everything up to here
	Statuses []int64      // users of whose coming and going it is told
}

// version is that of the messages. Processes of different versions do not succeed each other.
const version = 1

// maxMessage is the longest message, in bytes. The longest session, with all channels and users that one may have, is half of it.
const maxMessage = 64 << 10

// maxListed is how many channels or users a record may have.
const maxListed = 10_000

// errMessage says that what has come is no message of this version.
var errMessage = errors.New("not a message of this version")

// message is all that is said on the socket. A session is sent with its descriptor, the names of listeners with theirs.
type message struct {
	Version   int      `json:"version,omitempty"`   // to the predecessor: that of the successor
	Listeners []string `json:"listeners,omitempty"` // to the successor: what was given to Listen; an empty one is the socket itself
	Ready     bool     `json:"ready,omitempty"`     // to the predecessor: sessions may come
	Session   *session `json:"session,omitempty"`   // to the successor
	Taken     bool     `json:"taken,omitempty"`     // to the predecessor: of the session
	Refused   string   `json:"refused,omitempty"`   // likewise, and why not
	Off       string   `json:"off,omitempty"`       // to the successor: the predecessor stays, and why
}

// session is a [Record] on the socket.
type session struct {
	Portal   string    `json:"portal,omitempty"`
	Dialect  string    `json:"dialect"`
	Channels []string  `json:"channels"`
	Public   string    `json:"public,omitempty"`
	User     int64     `json:"user,omitempty"`
	Expires  time.Time `json:"expires,omitzero"`
	Cursor   string    `json:"cursor"`
	Statuses []int64   `json:"statuses,omitempty"`
}

func (r Record) session() *session {
	s := &session{Portal: r.Portal, Dialect: r.Dialect, Public: r.Public.String(), User: r.User, Expires: r.Expires,
		Cursor: r.Cursor.String(), Statuses: r.Statuses}
	for _, id := range r.Channels {
		s.Channels = append(s.Channels, id.String())
	}
	return s
}

// record checks all that can be checked without knowing the portal. The error repeats nothing: ids are secrets.
func (s *session) record() (Record, error) {
	r := Record{Portal: s.Portal, Dialect: s.Dialect, User: s.User, Expires: s.Expires, Statuses: s.Statuses}
	if len(s.Channels) == 0 || len(s.Channels) > maxListed || len(s.Statuses) > maxListed {
		return Record{}, fmt.Errorf("%w: %d channels, %d users", errMessage, len(s.Channels), len(s.Statuses))
	}
	for _, text := range s.Channels {
		id, err := channel.Restore(text)
		if err != nil {
			return Record{}, err
		}
		if slices.Contains(r.Channels, id) {
			return Record{}, fmt.Errorf("%w: a channel twice", errMessage)
		}
		r.Channels = append(r.Channels, id)
	}
	var err error
	if s.Public != "" {
		if r.Public, err = channel.Restore(s.Public); err != nil {
			return Record{}, err
		}
		// A predecessor of an older build lists its public id itself, and not the channel of it.
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

// decode reads a message. A field that is not known is an error: a session of which something were left out would not be the same.
func decode(text []byte) (m message, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return message{}, errMessage // which does not repeat what may be secret
	}
	if _, err := d.Token(); err != io.EOF {
		return message{}, errMessage
	}
	return m, nil
}
