package load

import (
	"bytes"
	"strings"
	"time"
)

// markStart begins a mark. Its first byte is rare in all wire forms, so that
// looking for it is fast, and none of its bytes is escaped in any of them.
const markStart = "~load:"

// markSize is the length of a mark: its start, stream and sequence of 8 hexadecimal digits each and
// the time of 16, with points between them.
const markSize = len(markStart) + 8 + 1 + 8 + 1 + 16

// mark identifies a message: its stream, its place in the stream, which begins at
// 1, and when it was due to be sent, by the clock of the program. A place of 0 is a greeting.
type mark struct {
	stream, sequence uint32
	sent             time.Duration
}

// minBody is how large a message is at least.
var minBody = len(newBody(0))

// newBody makes a message of size bytes, or of the smallest size that there is, whose mark is to be
// put at bodyMark.
func newBody(size int) []byte {
	const head, foot = `{"module_id":"load","command":"load","params":{"mark":"`, `"}}`
	const fill = `","fill":"`
	fixed := len(head) + markSize + len(fill) + len(foot)
	return []byte(head + strings.Repeat("-", markSize) + fill + strings.Repeat("x", max(size-fixed, 0)) + foot)
}

// bodyMark is where the mark stands in what newBody makes.
const bodyMark = len(`{"module_id":"load","command":"load","params":{"mark":"`)

// put writes m to the beginning of b.
func (m mark) put(b []byte) {
	copy(b, markStart+"--------.--------.----------------")
	putHex(b[len(markStart):][:8], uint64(m.stream))
	putHex(b[len(markStart)+9:][:8], uint64(m.sequence))
	putHex(b[len(markStart)+18:][:16], uint64(m.sent))
}

// putHex fills b with the last digits of n.
func putHex(b []byte, n uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = "0123456789abcdef"[n&0xf]
		n >>= 4
	}
}

// nextMark takes the first mark of b, and returns what is behind it. It reports false if there is
// none; rest is nil then if b has no sign of one either.
func nextMark(b []byte) (m mark, rest []byte, ok bool) {
	i := bytes.Index(b, []byte(markStart))
	if i < 0 {
		return m, nil, false
	}
	b = b[i:]
	if len(b) < markSize || b[len(markStart)+8] != '.' || b[len(markStart)+17] != '.' {
		return m, b, false
	}
	stream, ok1 := parseHex(b[len(markStart):][:8])
	sequence, ok2 := parseHex(b[len(markStart)+9:][:8])
	sent, ok3 := parseHex(b[len(markStart)+18:][:16])
	if !ok1 || !ok2 || !ok3 {
		return m, b, false
	}
	return mark{uint32(stream), uint32(sequence), time.Duration(sent)}, b[markSize:], true
}

// parseHex reads lower-case hexadecimal digits.
func parseHex(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}
