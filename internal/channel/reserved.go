package channel

import (
	"math"
	"strconv"
)

// Channels that this service names itself. Their text begins with a character that no grammar of
// the wire allows, so nobody can subscribe or publish to one by writing its name.
const (
	reserved   = '@'
	statusKind = 's'
)

// ForUser returns the channel of a portal's user, by which version 5 addresses people: every
// connection of the user watches it. It is the zero ID if user is not positive: 0 is nobody, in
// portals too.
func ForUser(user int64) ID { return reservedID("", user) }

// StatusOf returns the channel of the changes of a user's status, online or not. It is the zero ID
// if user is not positive, or the number that [Revocations] uses.
func StatusOf(user int64) ID {
	if user == revocations {
		return ID{}
	}
	return reservedID(string(statusKind), user)
}

// Revocations returns the channel by which a log notifies of what a portal puts out. Nobody watches
// it, and only the log writes to it.
func Revocations() ID { return reservedID(string(statusKind), revocations) }

// revocations is no user. [Restore] of earlier versions knows the name, as that of a status.
const revocations = math.MaxInt64

func reservedID(kind string, user int64) (id ID) {
	if user <= 0 {
		return id
	}
	digits := strconv.FormatInt(user, 10)
	for i := range id.text {
		id.text[i] = '0'
	}
	id.text[0] = reserved
	copy(id.text[1:], kind)
	copy(id.text[IDLen-len(digits):], digits)
	return id
}

// IsReserved reports whether id is one that this service has named itself.
func (id ID) IsReserved() bool { return id.text[0] == reserved }

// User returns the user whose channel id is, and whether it is one: the inverse of [ForUser].
func (id ID) User() (user int64, ok bool) {
	if id.text[0] != reserved || id.text[1] == statusKind {
		return 0, false
	}
	user, err := strconv.ParseInt(string(id.text[1:]), 10, 64)
	return user, err == nil && ForUser(user) == id
}

// Restore parses the text of an id that this service wrote itself: an id as on the wire, the
// channel of a public id, or a reserved name. It returns ErrMalformed for anything else. Input from
// outside must go through [Parse] instead.
func Restore(s string) (ID, error) {
	if len(s) == IDLen && s[0] == publicMark {
		var id ID
		copy(id.text[:], s)
		if _, ok := id.PublicID(); !ok {
			return ID{}, ErrMalformed
		}
		return id, nil
	}
	if len(s) != IDLen || s[0] != reserved {
		return Parse(s)
	}
	digits, kind := s[1:], ""
	if s[1] == statusKind {
		digits, kind = s[2:], s[1:2]
	}
	user, err := strconv.ParseUint(digits, 10, 63)
	if id := reservedID(kind, int64(user)); err == nil && !id.IsZero() {
		return id, nil
	}
	return ID{}, ErrMalformed
}
