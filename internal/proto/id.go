package proto

import (
	"cmp"
	"errors"
	"strconv"
)

// IDLen is the length of a message id on the wire, in decimal digits.
const IDLen = epochLen + sequenceLen

const (
	epochLen    = 10
	sequenceLen = 16
)

// ErrID is the error of [ParseID]. A subscriber's mid that is not a message id counts as absent
// (docs/protocol.md, Message ids).
var ErrID = errors.New("a message id is 26 decimal digits")

// ID is a position in a portal's log: `mid` on the wire. Ids are strictly increasing in a portal;
// their order as numbers, as strings of 26 digits and by [ID.Compare] is the same. The zero ID
// comes before every message.
type ID struct {
	Epoch    uint64 // at most 10 digits: unix seconds at which this epoch of the log began
	Sequence uint64 // at most 16 digits
}

// ParseID parses 26 decimal digits. For anything else it returns [ErrID].
func ParseID[T string | []byte](s T) (id ID, err error) {
	if len(s) != IDLen {
		return ID{}, ErrID
	}
	var ok bool
	if id.Epoch, ok = digits(s[:epochLen]); !ok {
		return ID{}, ErrID
	}
	if id.Sequence, ok = digits(s[epochLen:]); !ok {
		return ID{}, ErrID
	}
	return id, nil
}

func digits[T string | []byte](s T) (n uint64, ok bool) {
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

// AppendText appends the 26 digits of id to b. It never fails.
func (id ID) AppendText(b []byte) ([]byte, error) {
	b = appendPadded(b, id.Epoch, epochLen)
	return appendPadded(b, id.Sequence, sequenceLen), nil
}

// String returns the 26 digits of id.
func (id ID) String() string {
	b, _ := id.AppendText(make([]byte, 0, IDLen))
	return string(b)
}

// MarshalText returns the 26 digits of id, for logs and JSON.
func (id ID) MarshalText() ([]byte, error) { return id.AppendText(nil) }

// UnmarshalText reads what MarshalText wrote. The error is [ErrID].
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(text)
	return err
}

// Compare orders ids: -1 if id comes before other, 0 if they are the same, +1 if it comes after.
func (id ID) Compare(other ID) int {
	return cmp.Or(cmp.Compare(id.Epoch, other.Epoch), cmp.Compare(id.Sequence, other.Sequence))
}

// After reports whether id comes after other.
func (id ID) After(other ID) bool {
	return id.Epoch > other.Epoch || id.Epoch == other.Epoch && id.Sequence > other.Sequence
}

// Previous returns the id just before id in its epoch; false if id is the first.
func (id ID) Previous() (ID, bool) {
	if id.Sequence == 0 {
		return ID{}, false
	}
	return ID{id.Epoch, id.Sequence - 1}, true
}

// IsZero reports whether id comes before every message.
func (id ID) IsZero() bool { return id == ID{} }

func appendPadded(b []byte, n uint64, width int) []byte {
	var buf [20]byte
	s := strconv.AppendUint(buf[:0], n, 10)
	for range width - len(s) {
		b = append(b, '0')
	}
	return append(b, s...)
}
