// Package frame reads the WebSocket frames of clients and writes the headers of ours (RFC 6455, 5).
//
// A library would hold its state and buffers for the whole life of a connection. A [Reader] keeps
// nothing between two messages, so it can be used for another connection as soon as all that a
// client has sent is read.
package frame

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Opcodes (RFC 6455, 11.8).
const (
	OpContinuation byte = 0
	OpText         byte = 1
	OpBinary       byte = 2
	OpClose        byte = 8
	OpPing         byte = 9
	OpPong         byte = 10
)

const (
	// MaxControl is the longest payload of a control frame, in bytes (RFC 6455, 5.5).
	MaxControl = 125
	// MinBuffer is the smallest buffer that a Reader can work with, in bytes: a whole control
	// frame.
	MinBuffer = maxHeader + MaxControl

	maxHeader = 14 // two bytes, a length of eight, a mask of four
)

// ErrProtocol is wrapped by the errors that say that the client violates the protocol. The
// connection must then be closed with [CloseProtocol].
var ErrProtocol = errors.New("websocket protocol violated")

// Reader reads messages and control frames. It is used by one goroutine. Between two messages its
// only state is what the source has buffered.
type Reader struct {
	source  *bufio.Reader
	control func(opcode byte, payload []byte) error

	// Of the message under way.
	left uint64 // bytes of the frame's payload that have not been read
	last bool   // the frame is the message's last one
	mask [4]byte
	open bool // there is a message that has not been read to its end
}

// NewReader returns a reader of source, whose buffer must have at least [MinBuffer] bytes. The
// reader calls control for each control frame. The payload is valid only during the call. If
// control returns an error, so does the reader.
func NewReader(source *bufio.Reader, control func(opcode byte, payload []byte) error) *Reader {
	return &Reader{source: source, control: control}
}

// Next skips what is left of the current message, reads up to the beginning of the next one, and
// returns [OpText] or [OpBinary]. The message is then read with Read until it returns [io.EOF].
// After a control frame between two messages Next returns [OpContinuation], so that the caller may
// stop there. An error is final: io.EOF if the connection has ended between two frames, and
// [io.ErrUnexpectedEOF] if it has ended within one.
func (r *Reader) Next() (opcode byte, err error) {
	if r.open {
		if _, err := io.Copy(io.Discard, r); err != nil {
			return 0, err
		}
	}
	opcode, err = r.frame()
	switch {
	case err != nil:
		return 0, err
	case opcode >= OpClose:
		return OpContinuation, nil
	case opcode == OpContinuation:
		return 0, fmt.Errorf("%w: continuation frame without a message", ErrProtocol)
	}
	r.open = true
	return opcode, nil
}

// Within reports whether there is a message that has not been read to its end.
func (r *Reader) Within() bool { return r.open }

// Read reads from the message that Next has begun.
func (r *Reader) Read(p []byte) (int, error) {
	for r.left == 0 {
		if !r.open {
			return 0, io.EOF
		}
		if r.last {
			r.open = false
			return 0, io.EOF
		}
		opcode, err := r.frame()
		switch {
		case err == io.EOF:
			return 0, io.ErrUnexpectedEOF
		case err != nil:
			return 0, err
		case opcode == OpText || opcode == OpBinary:
			return 0, fmt.Errorf("%w: new message before the end of the last one", ErrProtocol)
		}
	}
	if uint64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.source.Read(p)
	r.unmask(p[:n])
	r.left -= uint64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// frame reads the header of a data frame, or the whole of a control frame.
func (r *Reader) frame() (opcode byte, err error) {
	head, err := r.peek(2)
	if err != nil {
		if len(head) == 0 && err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		return 0, err
	}
	first, second := head[0], head[1]
	opcode = first & 0x0f
	final := first&0x80 != 0
	size := uint64(second & 0x7f)
	switch {
	case first&0x70 != 0:
		return 0, fmt.Errorf("%w: reserved bits are set", ErrProtocol)
	case second&0x80 == 0:
		return 0, fmt.Errorf("%w: frame is not masked", ErrProtocol)
	case opcode > OpBinary && opcode < OpClose || opcode > OpPong:
		return 0, fmt.Errorf("%w: opcode %d", ErrProtocol, opcode)
	case opcode >= OpClose && (!final || size > MaxControl):
		return 0, fmt.Errorf("%w: control frame of %d bytes or in fragments", ErrProtocol, size)
	}
	lengthBytes := 0
	switch size {
	case 126:
		lengthBytes = 2
	case 127:
		lengthBytes = 8
	}
	header := 2 + lengthBytes + len(r.mask)
	if head, err = r.peek(header); err != nil {
		return 0, err
	}
	switch lengthBytes {
	case 2:
		size = uint64(binary.BigEndian.Uint16(head[2:]))
	case 8:
		if size = binary.BigEndian.Uint64(head[2:]); size>>63 != 0 {
			return 0, fmt.Errorf("%w: highest bit of a length is set", ErrProtocol)
		}
	}
	var mask [4]byte
	copy(mask[:], head[2+lengthBytes:])
	if opcode >= OpClose {
		return opcode, r.take(opcode, header, int(size), mask)
	}
	r.source.Discard(header)
	r.left, r.last, r.mask = size, final, mask
	return opcode, nil
}

// take reads a whole control frame. It may be between the frames of a message, and does not change
// their state.
func (r *Reader) take(opcode byte, header, size int, mask [4]byte) error {
	whole, err := r.peek(header + size)
	if err != nil {
		return err
	}
	payload := whole[header:]
	xor(payload, mask)
	if err := r.control(opcode, payload); err != nil {
		return err
	}
	r.source.Discard(header + size)
	return nil
}

// peek waits for n bytes, and returns them without consuming them.
func (r *Reader) peek(n int) ([]byte, error) {
	b, err := r.source.Peek(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// unmask removes the mask from b, and rotates it so that it begins with the next byte's.
func (r *Reader) unmask(b []byte) {
	xor(b, r.mask)
	turned := r.mask
	for i := range turned {
		turned[i] = r.mask[(i+len(b))%len(r.mask)]
	}
	r.mask = turned
}

// xor applies a mask to b, from its first byte (RFC 6455, 5.3).
func xor(b []byte, mask [4]byte) {
	word := uint64(binary.LittleEndian.Uint32(mask[:]))
	word |= word << 32
	for ; len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^word)
	}
	for i := range b {
		b[i] ^= mask[i%len(mask)]
	}
}
