package trail

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"
)

const (
	// chunkBytes is how much of a ring is dropped at a time.
	chunkBytes = 16 << 10
	// mostFields bounds the numbers of one record, so that each fits into a chunk.
	mostFields = 1000
)

// Ring keeps the newest records, each a time and some numbers, within a number of bytes. It has no
// memory before its first record. Its methods may be called concurrently. A nil Ring keeps nothing.
type Ring struct {
	most  int   // chunks; immutable
	began int64 // unix microseconds; immutable

	mu      sync.Mutex
	chunks  []chunk // oldest first
	dropped uint64  // chunks before the first
}

// chunk holds records of about the same time. Each is the number of its fields, the difference of
// its time from the one before, and its fields, all as varints.
type chunk struct {
	first, last int64 // times of its first and its last record
	data        []byte
}

// NewRing returns a ring that takes at most so many bytes; nil if that is less than two chunks.
func NewRing(bytes int) *Ring {
	if bytes < 2*chunkBytes {
		return nil
	}
	return &Ring{most: bytes / chunkBytes, began: time.Now().UnixMicro()}
}

// Append adds a record at a time in unix microseconds. Fields beyond the first thousand are lost.
func (r *Ring) Append(at int64, fields ...uint64) {
	if r == nil {
		return
	}
	fields = fields[:min(len(fields), mostFields)]
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.room(at, (len(fields)+2)*binary.MaxVarintLen64)
	b := binary.AppendUvarint(c.data, uint64(len(fields)))
	b = binary.AppendVarint(b, at-c.last)
	for _, f := range fields {
		b = binary.AppendUvarint(b, f)
	}
	c.data, c.last = b, at
}

// room returns the newest chunk, which has room for so many bytes. r.mu is held.
func (r *Ring) room(at int64, bytes int) *chunk {
	if n := len(r.chunks); n > 0 && cap(r.chunks[n-1].data)-len(r.chunks[n-1].data) >= bytes {
		return &r.chunks[n-1]
	}
	var data []byte
	if len(r.chunks) == r.most {
		data = r.chunks[0].data[:0]
		r.chunks = slices.Delete(r.chunks, 0, 1)
		r.dropped++
	} else {
		data = make([]byte, 0, chunkBytes)
	}
	r.chunks = append(r.chunks, chunk{first: at, last: at, data: data})
	return &r.chunks[len(r.chunks)-1]
}

// Each calls visit with the records, the oldest first. Records that are added meanwhile may be left
// out. The fields are valid until visit returns. It holds no lock meanwhile.
func (r *Ring) Each(visit func(at int64, fields []uint64)) {
	if r == nil {
		return
	}
	var data []byte
	fields := make([]uint64, 0, 64)
	for number := uint64(0); ; number++ {
		r.mu.Lock()
		number = max(number, r.dropped)
		i := int(number - r.dropped)
		if i >= len(r.chunks) {
			r.mu.Unlock()
			return
		}
		at := r.chunks[i].first
		data = append(data[:0], r.chunks[i].data...)
		r.mu.Unlock()
		for rest := data; len(rest) > 0; {
			n, size := binary.Uvarint(rest)
			rest = rest[size:]
			step, size := binary.Varint(rest)
			rest = rest[size:]
			at += step
			fields = fields[:0]
			for range n {
				f, size := binary.Uvarint(rest)
				rest = rest[size:]
				fields = append(fields, f)
			}
			visit(at, fields)
		}
	}
}

// Since returns the time, in unix microseconds, from which on r has all records. For a nil Ring
// that is the present.
func (r *Ring) Since() int64 {
	if r == nil {
		return time.Now().UnixMicro()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dropped == 0 {
		return r.began
	}
	return r.chunks[0].first
}

// Bytes returns the memory that r takes.
func (r *Ring) Bytes() int {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.chunks) * chunkBytes
}

// mostNames bounds names that come from outside, such as the types of messages.
const mostNames = 4096

// names numbers texts, which then take few bytes in a record. 0 is the empty text, and any text
// beyond most.
type names struct {
	most int // 0: no bound; immutable

	mu      sync.RWMutex
	numbers map[string]uint64
	texts   []string
}

func (n *names) number(text string) uint64 {
	if text == "" {
		return 0
	}
	n.mu.RLock()
	number := n.numbers[text]
	n.mu.RUnlock()
	if number != 0 {
		return number
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if number = n.numbers[text]; number != 0 || n.most != 0 && len(n.texts) >= n.most {
		return number
	}
	if n.numbers == nil {
		n.numbers, n.texts = make(map[string]uint64), []string{""}
	}
	n.texts = append(n.texts, text)
	n.numbers[text] = uint64(len(n.texts) - 1)
	return n.numbers[text]
}

// has reports whether a text has a number, and which.
func (n *names) has(text string) (number uint64, ok bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	number, ok = n.numbers[text]
	return number, ok
}

func (n *names) text(number uint64) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if number >= uint64(len(n.texts)) {
		return ""
	}
	return n.texts[number]
}
