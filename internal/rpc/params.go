package rpc

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"pushgate/internal/proto"
)

// maxUsers is the largest number of users in one call.
const maxUsers = 10_000

// DefaultExpiry is the life of a message whose sender does not set one.
const DefaultExpiry = 24 * time.Hour

// Publish holds the params of the method publish, as a portal or a client wrote them. Some of them
// only a portal may set: for a client's call they must be ignored.
type Publish struct {
	Users      []int64           // each once, without user 0
	Channels   []json.RawMessage // as they were written
	Body       json.RawMessage   // nil if there is none
	UserParams json.RawMessage   // for [proto.Compose]
	Dictionary json.RawMessage   // likewise
	Expiry     time.Duration     // 0 if the message is transient
	Type       string            // empty if none was given
}

// ParsePublish parses the params of publish.
func ParsePublish(params json.RawMessage) (p Publish, fault *Error) {
	o, fault := object(params)
	if fault != nil {
		return p, fault
	}
	p = Publish{Body: o.Get("body"), UserParams: o.Get("user_params"), Dictionary: o.Get("dictionary"), Type: o.String("type")}
	if p.Users, fault = users(o); fault != nil {
		return Publish{}, fault
	}
	if !list(o.Get("channelList"), &p.Channels) {
		return Publish{}, ErrInvalidParams.With("channelList is not a list")
	}
	p.Expiry = DefaultExpiry
	if value := o.Get("expiry"); value != nil && string(value) != "null" {
		seconds, ok := number(value)
		if !ok {
			return Publish{}, ErrInvalidParams.With("expiry is not a number")
		}
		if seconds >= 0 {
			p.Expiry = time.Duration(min(seconds, DefaultExpiry.Seconds())) * time.Second
		}
	}
	return p, nil
}

// ParseUsers parses the params of getUsersLastSeen: the users of userList, each once.
func ParseUsers(params json.RawMessage) ([]int64, *Error) {
	o, fault := object(params)
	if fault != nil {
		return nil, fault
	}
	return users(o)
}

// ParseUser parses the params of subscribeStatusChange and unsubscribeStatusChange: one user, as a
// number or as a string.
func ParseUser(params json.RawMessage) (int64, *Error) {
	o, fault := object(params)
	if fault != nil {
		return 0, fault
	}
	user, ok := userID(o.Get("userId"))
	if !ok || user == 0 {
		return 0, ErrInvalidParams.With("userId is not a user id")
	}
	return user, nil
}

// ParseSeen parses the params of updateUsersLastSeen: unix times by user. An empty list means no
// users, because PHP writes it so.
func ParseSeen(params json.RawMessage) ([]proto.Seen, *Error) {
	o, fault := object(params)
	switch {
	case fault != nil:
		return nil, fault
	case len(o) > maxUsers:
		return nil, ErrInvalidParams.With("too many users")
	}
	var seen []proto.Seen
	for _, m := range o {
		user, err := strconv.ParseUint(m.Name, 10, 63)
		at, ok := number(m.Value)
		if err != nil || !ok {
			return nil, ErrInvalidParams.With("params must be unix times by user id")
		}
		if user > 0 && at > 0 {
			seen = append(seen, proto.Seen{User: int64(user), At: time.Unix(int64(min(at, math.MaxInt32*4)), 0)})
		}
	}
	return seen, nil
}

// LastSeen returns the result of getUsersLastSeen: for each user the seconds since it was last
// seen, or 0 if it has sessions now. Users that have never been seen are left out. The slices have
// one element for each user; a zero time means never.
func LastSeen(users []int64, sessions []int, seen []time.Time, now time.Time) json.RawMessage {
	text := []byte{'{'}
	for i, user := range users {
		var seconds int64
		switch {
		case sessions[i] > 0:
		case seen[i].IsZero():
			continue
		default:
			seconds = max(1, int64(now.Sub(seen[i])/time.Second))
		}
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(append(text, '"'), user, 10)
		text = strconv.AppendInt(append(text, `":`...), seconds, 10)
	}
	return append(text, '}')
}

// object parses params. No params or an empty list count as an empty object.
func object(params json.RawMessage) (proto.Object, *Error) {
	var elements []json.RawMessage
	if (len(params) == 0 || params[0] == '[') && list(params, &elements) && len(elements) == 0 {
		return nil, nil
	}
	o, ok := proto.ParseObject(params)
	if !ok {
		return nil, ErrInvalidParams.With("params is not an object")
	}
	return o, nil
}

// list parses a list. Nothing counts as an empty one.
func list(value json.RawMessage, elements *[]json.RawMessage) bool {
	if len(value) == 0 {
		return true
	}
	return json.Unmarshal(value, elements) == nil
}

// users parses userList, without user 0: it is nobody, but portals name it for the channel that all
// users share.
func users(o proto.Object) ([]int64, *Error) {
	var elements []json.RawMessage
	switch {
	case !list(o.Get("userList"), &elements):
		return nil, ErrInvalidParams.With("userList is not a list")
	case len(elements) > maxUsers:
		return nil, ErrInvalidParams.With("too many users")
	}
	var all []int64
	known := make(map[int64]bool, len(elements))
	for _, element := range elements {
		user, ok := userID(element)
		if !ok {
			return nil, ErrInvalidParams.With("userList has an element that is not a user id")
		}
		if user != 0 && !known[user] {
			known[user] = true
			all = append(all, user)
		}
	}
	return all, nil
}

// userID parses a user id: a whole number, or a string of digits.
func userID(value json.RawMessage) (int64, bool) {
	user, err := strconv.ParseUint(string(bytes.Trim(value, `"`)), 10, 63)
	return int64(user), err == nil
}

// number parses a number, which may be in a string.
func number(value json.RawMessage) (float64, bool) {
	f, err := strconv.ParseFloat(string(bytes.Trim(value, `"`)), 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}
