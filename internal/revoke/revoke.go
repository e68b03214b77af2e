// Package revoke names the tokens, users and channels that a portal puts out until a time.
package revoke

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"time"

	"pushgate/internal/channel"
)

const (
	// DefaultLife is how long an entry holds if nobody says until when.
	DefaultLife = 24 * time.Hour
	// MaxLife is the longest life of an entry, from the time when it is made.
	MaxLife = 400 * 24 * time.Hour
	// MaxEntries is how many entries a portal may have at a time. One more is refused with
	// [ErrFull]: none is dropped for it, because that would let somebody in.
	MaxEntries = 10_000
)

var (
	// ErrFull says that a portal has [MaxEntries] entries.
	ErrFull = errors.New("too many revocations: lift some, or wait until some expire")
	// ErrUntil says that an entry would end in the past or beyond [MaxLife].
	ErrUntil = errors.New("until must be in the future, and at most 400 days ahead")
)

// Entry is what is put out: its kind, a colon, and a user id in decimal or the hash of a secret.
// Compare entries with ==: a secret is compared by its hash only.
type Entry string

const (
	userKind    = "user:"
	tokenKind   = "token:"
	channelKind = "channel:"
)

// Hash stands for a secret. The zero Hash stands for none.
type Hash [16]byte

func hash(kind, secret string) (h Hash) {
	sum := sha256.Sum256([]byte(kind + secret))
	copy(h[:], sum[:])
	return h
}

// TokenID returns the hash of the tokens with an id, which is their claim jti.
func TokenID(id string) Hash { return hash("jti:", id) }

// TokenOf returns the hash of a token that was checked: of its id, if it has one, else of the part
// that is signed. The signature itself may be written in several ways.
func TokenOf(id, text string) Hash {
	if id != "" {
		return TokenID(id)
	}
	return hash("text:", text[:max(strings.LastIndexByte(text, '.'), 0)])
}

// User returns the entry of a user.
func User(id int64) Entry { return Entry(userKind + strconv.FormatInt(id, 10)) }

// Token returns the entry of a token.
func Token(h Hash) Entry { return Entry(tokenKind + hex.EncodeToString(h[:])) }

// Channel returns the entry of a private channel id: it puts out all who watch it.
func Channel(id channel.ID) Entry {
	h := hash(channelKind, id.String())
	return Entry(channelKind + hex.EncodeToString(h[:]))
}

// User returns the user that is put out; 0 if it is something else.
func (e Entry) User() int64 {
	name, ok := strings.CutPrefix(string(e), userKind)
	if !ok {
		return 0
	}
	id, _ := strconv.ParseInt(name, 10, 64) // as User wrote it
	return id
}

// maxShort is how many characters of a hash are shown.
const maxShort = 6

// Short returns an entry with a shortened hash: enough to find it in a list.
func (e Entry) Short() string {
	kind, name, _ := strings.Cut(string(e), ":")
	if kind+":" != userKind && len(name) > maxShort {
		name = name[:maxShort] + "…"
	}
	return kind + " " + name
}

// LogValue returns what Short does.
func (e Entry) LogValue() slog.Value { return slog.StringValue(e.Short()) }

// Until returns the end of an entry that is made at now, to the second: DefaultLife later if until
// is the zero time. The error is ErrUntil.
func Until(until, now time.Time) (time.Time, error) {
	if until.IsZero() {
		until = now.Add(DefaultLife)
	}
	if !until.After(now) || until.Sub(now) > MaxLife {
		return time.Time{}, ErrUntil
	}
	return until.Truncate(time.Second), nil
}

// List is when the entries of a portal end, in unix seconds.
type List map[Entry]int64

// Apply makes the change of a note.
func (l List) Apply(n Note) {
	if n.Until == 0 {
		delete(l, n.Entry)
		return
	}
	l[n.Entry] = n.Until
}

// Prune deletes the entries that have ended.
func (l List) Prune(now time.Time) {
	maps.DeleteFunc(l, func(_ Entry, until int64) bool { return until <= now.Unix() })
}

// Client is all by which a client can be put out.
type Client struct {
	User     int64 // 0 if it is not known
	Token    Hash  // zero if it brought none
	Channels []channel.ID
}

// Has reports whether a client is put out at now. It costs nothing while the list is empty.
func (l List) Has(c Client, now time.Time) bool {
	if len(l) == 0 {
		return false
	}
	if c.User != 0 && l.holds(User(c.User), now) || c.Token != (Hash{}) && l.holds(Token(c.Token), now) {
		return true
	}
	for _, id := range c.Channels {
		if !id.IsReserved() && l.holds(Channel(id), now) {
			return true
		}
	}
	return false
}

func (l List) holds(e Entry, now time.Time) bool {
	return now.Unix() < l[e]
}
