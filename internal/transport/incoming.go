package transport

import (
	"errors"
	"io"
	"sync/atomic"
	"time"
)

const (
	// messageTimeout is how long a message may take from its first byte to its last. A MiB comes in
	// that time at 280 kbit/s, which a poor mobile uplink has; what known clients send is a few
	// KiB. It bounds a frame's header and a control frame, too.
	messageTimeout = 30 * time.Second
	// incomingBytes bounds the buffers of all messages that are still coming or being carried out.
	// A process with little memory has less.
	incomingBytes = 64 << 20
	// smallBuffer is the size up to which a buffer may use the last quarter of these bytes, so that
	// many unfinished large messages do not keep small ones out.
	smallBuffer = 8 << 10
	// firstBuffer is the size that does not count: as much as the buffer of a reader.
	firstBuffer = readBuffer
)

// errNoRoom says that a message would take more memory than there is for all that are coming.
var errNoRoom = errors.New("no room for the message")

// Incoming bounds the memory of messages that clients have begun to send. Its methods may be called
// concurrently.
type Incoming struct {
	most int64 // immutable
	held atomic.Int64
}

// NewIncoming returns the bound for a process that may take memory bytes; 0 is no limit.
func NewIncoming(memory int64) *Incoming {
	if memory > 0 {
		return BoundedIncoming(min(incomingBytes, memory/8))
	}
	return BoundedIncoming(incomingBytes)
}

// BoundedIncoming returns a bound of so many bytes.
func BoundedIncoming(bytes int64) *Incoming { return &Incoming{most: bytes} }

// Held returns how many bytes are held at present.
func (i *Incoming) Held() int64 { return i.held.Load() }

// grow counts the growth of a message's buffer, and reports false if there is no room. A message
// that is alone always has room: the limit of its portal bounds it.
func (i *Incoming) grow(from, to int64) bool {
	most := i.most
	if to > smallBuffer {
		most -= most / 4
	}
	more := to - from
	if held := i.held.Add(more); held > most && held > to {
		i.held.Add(-more)
		return false
	}
	return true
}

// release returns the bytes that a buffer has grown to.
func (i *Incoming) release(n int64) { i.held.Add(-n) }

// readAll reads a message of at most limit bytes and one more. The caller releases what is counted
// of its buffer, also after an error.
func (i *Incoming) readAll(message io.Reader, limit int64) (batch []byte, counted int64, err error) {
	batch = make([]byte, 0, firstBuffer)
	for {
		if len(batch) == cap(batch) {
			size := min(2*int64(cap(batch)), max(limit+1, firstBuffer+1))
			if !i.grow(counted, size) {
				return nil, counted, errNoRoom
			}
			counted = size
			batch = append(make([]byte, 0, size), batch...)
		}
		n, err := message.Read(batch[len(batch):cap(batch)])
		batch = batch[:len(batch)+n]
		switch {
		case err == io.EOF:
			return batch, counted, nil
		case err != nil || int64(len(batch)) > limit:
			return batch, counted, err
		}
	}
}
