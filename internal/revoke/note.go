package revoke

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

// Note says what was changed: it is the body of the message by which a log notifies of it.
type Note struct {
	Entry Entry `json:"entry"`
	Until int64 `json:"until"` // unix seconds; 0 if the entry was lifted
}

// maxNote is the longest note, in bytes.
const maxNote = 256

var errNote = errors.New("damaged note of a revocation")

// Body returns the encoded note.
func (n Note) Body() []byte {
	text, err := json.Marshal(n)
	if err != nil {
		panic(err) // a string and a number always encode
	}
	return text
}

// ParseNote decodes a note. It returns an error unless the entry is one that this package makes.
func ParseNote(body []byte) (n Note, err error) {
	if len(body) > maxNote || json.Unmarshal(body, &n) != nil || n.Until < 0 || !n.Entry.valid() {
		return Note{}, errNote
	}
	return n, nil
}

func (e Entry) valid() bool {
	kind, name, _ := strings.Cut(string(e), ":")
	switch kind + ":" {
	case userKind:
		user, err := strconv.ParseInt(name, 10, 64)
		return err == nil && user > 0 && e == User(user)
	case tokenKind, channelKind:
		var h Hash
		n, err := hex.Decode(h[:], []byte(name[:min(len(name), 2*len(h))]))
		return err == nil && n == len(h) && string(e) == kind+":"+hex.EncodeToString(h[:])
	default:
		return false
	}
}
