// Package trail remembers for about an hour what a process did with messages, in rings of a fixed
// size, and follows what it does now for those who ask.
//
// No delivery is recorded. A session is a cursor into one ordered log, so what was written to it
// follows from where it began and where it is. The rings hold what does not follow from that: which
// posts were accepted, when an edge heard of them, sessions that have ended, and what was written
// late or from the log.
package trail

import (
	"encoding/json"
	"strconv"

	"pushgate/internal/channel"
	"pushgate/internal/proto"
)

// Prompt is how soon a message is usually written, in microseconds: only what is later is recorded.
const Prompt = 100_000

// Mark stands for a channel in a ring: its first 56 bits of a hash. It reveals no channel, and two
// channels have the same one about once in a million billion pairs.
type Mark uint64

// MarkOf returns the mark of a channel: FNV-1a of its text.
func MarkOf(id channel.ID) Mark {
	var text [channel.IDLen]byte
	b, _ := id.AppendText(text[:0])
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return Mark(h >> 8)
}

// MarksOf returns the marks of channels.
func MarksOf(ids []channel.ID) []Mark {
	marks := make([]Mark, len(ids))
	for i, id := range ids {
		marks[i] = MarkOf(id)
	}
	return marks
}

// String returns m as 14 hexadecimal digits.
func (m Mark) String() string {
	text := strconv.FormatUint(uint64(m), 16)
	return "00000000000000"[len(text):] + text
}

// MarshalJSON writes m as a text: it has more digits than JavaScript's numbers.
func (m Mark) MarshalJSON() ([]byte, error) { return json.Marshal(m.String()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (m *Mark) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	n, err := strconv.ParseUint(s, 16, 56)
	*m = Mark(n)
	return err
}

// reader reads the fields of a record in order. After the last one it returns zeros.
type reader struct{ rest []uint64 }

func (r *reader) next() (f uint64) {
	if len(r.rest) > 0 {
		f, r.rest = r.rest[0], r.rest[1:]
	}
	return f
}

func (r *reader) id() proto.ID {
	epoch := r.next()
	return proto.ID{Epoch: epoch, Sequence: r.next()}
}

func (r *reader) marks() []Mark {
	marks := make([]Mark, len(r.rest))
	for i, f := range r.rest {
		marks[i] = Mark(f)
	}
	r.rest = nil
	return marks
}
