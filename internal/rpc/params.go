package rpc

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"pushgate/internal/proto"
)

// maxUsers is how many users one question or one change may be about.
const maxUsers = 10_000

// DefaultExpiry is how long a message lives whose sender does not say.
const DefaultExpiry = 24 * time.Hour

// Publish is the params of the method publish, as a portal or a client writes them. Of what only the portal may say, a client's is not
// looked at by whoever executes the call.
type Publish struct {
	Users      []int64           // each once; nobody is left out
	Channels   []json.RawMessage // as they were written
	Body       json.RawMessage   // nil if there is none
	UserParams json.RawMessage   // for [proto.Compose]
	Dictionary json.RawMessage   // likewise
	Expiry     time.Duration     // 0 is for a transient message
	Type       string            // empty if nothing was said
}

// ParsePublish reads the params of publish.
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
		return Publish{}, ErrInvalidParams.With("channelList is no list")
	}
	p.Expiry = DefaultExpiry
	if value := o.Get("expiry"); value != nil && string(value) != "null" {
		seconds, ok := number(value)
		if !ok {
			return Publish{}, ErrInvalidParams.With("expiry is no number")
		}
		if seconds >= 0 {
			p.Expiry = time.Duration(min(seconds, DefaultExpiry.Seconds())) * time.Second
		}
	}
	return p, nil
}

// ParseUsers reads the params of getUsersLastSeen: the users of userList, each once.
func ParseUsers(params json.RawMessage) ([]int64, *Error) {
	o, fault := object(params)
	if fault != nil {
		return nil, fault
	}
	return users(o)
}

// ParseUser reads the params of subscribeStatusChange and its opposite: one user, as a number or as a string.
func ParseUser(params json.RawMessage) (int64, *Error) {
	o, fault := object(params)
	if fault != nil {
		return 0, fault
	}
	user, ok := userID(o.Get("userId"))
	if !ok || user == 0 {
		return 0, ErrInvalidParams.With("userId is no user")
	}
	return user, nil
}

// ParseSeen reads the params of updateUsersLastSeen: unix times by user. What PHP writes for no users is a list.
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
			return nil, ErrInvalidParams.With("not times by user")
		}
		if user > 0 && at > 0 {
			seen = append(seen, proto.Seen{User: int64(user), At: time.Unix(int64(min(at, math.MaxInt32*4)), 0)})
		}
	}
	return seen, nil
}

// LastSeen is the result of getUsersLastSeen: for each user the seconds since it was last seen, 0 if it has sessions now. Who has never
// been seen is not in it.
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

// object reads params. An empty list, or none, is an object without members.
func object(params json.RawMessage) (proto.Object, *Error) {
	var elements []json.RawMessage
	if (len(params) == 0 || params[0] == '[') && list(params, &elements) && len(elements) == 0 {
		return nil, nil
	}
	o, ok := proto.ParseObject(params)
	if !ok {
		return nil, ErrInvalidParams.With("params is no object")
	}
	return o, nil
}

// list reads a list, or nothing.
func list(value json.RawMessage, elements *[]json.RawMessage) bool {
	if len(value) == 0 {
		return true
	}
	return json.Unmarshal(value, elements) == nil
}

// users reads userList. User 0 is nobody: portals name it beside the channel that all share.
func users(o proto.Object) ([]int64, *Error) {
	var elements []json.RawMessage
	switch {
	case !list(o.Get("userList"), &elements):
		return nil, ErrInvalidParams.With("userList is no list")
	case len(elements) > maxUsers:
		return nil, ErrInvalidParams.With("too many users")
	}
	var all []int64
	known := make(map[int64]bool, len(elements))
	for _, element := range elements {
		user, ok := userID(element)
		if !ok {
			return nil, ErrInvalidParams.With("userList holds what is no user")
		}
		if user != 0 && !known[user] {
			known[user] = true
			all = append(all, user)
		}
	}
	return all, nil
}

// userID reads a user: a whole number, or a string of digits.
func userID(value json.RawMessage) (int64, bool) {
	user, err := strconv.ParseUint(string(bytes.Trim(value, `"`)), 10, 63)
	return int64(user), err == nil
}

// number reads a number, which may stand in a string.
func number(value json.RawMessage) (float64, bool) {
	f, err := strconv.ParseFloat(string(bytes.Trim(value, `"`)), 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}
