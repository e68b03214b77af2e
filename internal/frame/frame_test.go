package frame

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// masked writes a frame as a client does.
func masked(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i%4])
	}
	return b
}

const final = 0x80

// all reads everything, and returns a description of it.
func all(source io.Reader, buffer int) (story []string, err error) {
	r := NewReader(bufio.NewReaderSize(source, buffer), func(opcode byte, payload []byte) error {
		story = append(story, fmt.Sprintf("control %d %q", opcode, payload))
		return nil
	})
	for {
		opcode, err := r.Next()
		if err != nil {
			return story, err
		}
		if opcode == OpContinuation {
			continue
		}
		message, err := io.ReadAll(r)
		if err != nil {
			return story, err
		}
		story = append(story, fmt.Sprintf("%d %q", opcode, message))
	}
}

func join(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

func TestReader(t *testing.T) {
	long := strings.Repeat("abcdefg", 20000)
	for name, c := range map[string]struct {
		sent []byte
		want []string
		err  error
	}{
		"nothing":      {nil, nil, io.EOF},
		"a text":       {masked(final|OpText, []byte("hello")), []string{`1 "hello"`}, io.EOF},
		"an empty one": {masked(final|OpBinary, nil), []string{`2 ""`}, io.EOF},
		"of the RFC":   {[]byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}, []string{`1 "Hello"`}, io.EOF},
		"in parts": {join(masked(OpText, []byte("one ")), masked(final|OpPing, []byte("?")), masked(OpContinuation, nil), masked(final|OpContinuation, []byte("two"))),
			[]string{`control 9 "?"`, `1 "one two"`}, io.EOF},
		"control frames": {join(masked(final|OpPong, bytes.Repeat([]byte{'p'}, MaxControl)), masked(final|OpClose, nil), masked(final|OpText, []byte("x"))),
			[]string{fmt.Sprintf("control 10 %q", strings.Repeat("p", MaxControl)), `control 8 ""`, `1 "x"`}, io.EOF},
		"lengths": {join(masked(final|OpText, []byte(long[:126])), masked(final|OpText, []byte(long[:65535])), masked(final|OpText, []byte(long))),
			[]string{fmt.Sprintf("1 %q", long[:126]), fmt.Sprintf("1 %q", long[:65535]), fmt.Sprintf("1 %q", long)}, io.EOF},

		"cut in a header":         {masked(final|OpText, []byte("hello"))[:3], nil, io.ErrUnexpectedEOF},
		"cut in a payload":        {masked(final|OpText, []byte("hello"))[:8], nil, io.ErrUnexpectedEOF},
		"cut in a control":        {masked(final|OpPing, []byte("hello"))[:8], nil, io.ErrUnexpectedEOF},
		"cut between parts":       {masked(OpText, []byte("hello")), nil, io.ErrUnexpectedEOF},
		"reserved bits":           {masked(final|0x40|OpText, nil), nil, ErrProtocol},
		"unknown opcode":          {masked(final|3, nil), nil, ErrProtocol},
		"unknown control":         {masked(final|11, nil), nil, ErrProtocol},
		"not masked":              {[]byte{0x81, 0x01, 'x'}, nil, ErrProtocol},
		"continuation of nothing": {masked(final|OpContinuation, []byte("x")), nil, ErrProtocol},
		"a message in a message":  {join(masked(OpText, nil), masked(final|OpText, nil)), nil, ErrProtocol},
		"control in parts":        {masked(OpPing, nil), nil, ErrProtocol},
		"control too long":        {masked(final|OpPing, make([]byte, 126)), nil, ErrProtocol},
		"negative length":         {[]byte{0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, nil, ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			for _, source := range []io.Reader{bytes.NewReader(c.sent), iotest.OneByteReader(bytes.NewReader(c.sent)), iotest.HalfReader(bytes.NewReader(c.sent))} {
				got, err := all(source, MinBuffer)
				if fmt.Sprint(got) != fmt.Sprint(c.want) || !errors.Is(err, c.err) {
					t.Errorf("got %.200q, %v", got, err)
				}
			}
		})
	}
}

// TestNextSkipsTheRest: Next skips the rest of a message, but not the control frames in it.
func TestNextSkipsTheRest(t *testing.T) {
	sent := join(masked(OpText, make([]byte, 1000)), masked(final|OpPing, []byte("?")), masked(final|OpContinuation, make([]byte, 1000)), masked(final|OpText, []byte("next")))
	controls := 0
	r := NewReader(bufio.NewReaderSize(bytes.NewReader(sent), 512), func(byte, []byte) error { controls++; return nil })
	r.Next()
	r.Read(make([]byte, 10))
	if opcode, err := r.Next(); opcode != OpText || err != nil || controls != 1 {
		t.Fatal(opcode, err, controls)
	}
	if got, err := io.ReadAll(r); string(got) != "next" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestControlMayEnd(t *testing.T) {
	end := errors.New("the end")
	r := NewReader(bufio.NewReaderSize(bytes.NewReader(masked(final|OpClose, nil)), 512), func(byte, []byte) error { return end })
	if _, err := r.Next(); err != end {
		t.Errorf("got %v", err)
	}
}

// TestReadingAllocatesNothing: a reader is reused for one connection after another.
func TestReadingAllocatesNothing(t *testing.T) {
	sent := join(masked(final|OpPong, []byte("ws ping")), masked(final|OpText, make([]byte, 3000)))
	source := bytes.NewReader(nil)
	buffered := bufio.NewReaderSize(source, 512)
	r := NewReader(buffered, func(byte, []byte) error { return nil })
	p := make([]byte, 1000)
	if n := testing.AllocsPerRun(100, func() {
		source.Reset(sent)
		buffered.Reset(source)
		r.Next()
		r.Next()
		for {
			if _, err := r.Read(p); err != nil {
				break
			}
		}
	}); n != 0 {
		t.Errorf("a pong and a message allocate %v times", n)
	}
}

// FuzzReader: for any input the reader ends, with the same result in whatever pieces it arrives.
func FuzzReader(f *testing.F) {
	f.Add(join(masked(final|OpText, []byte("hello")), masked(final|OpPing, nil)), uint64(1))
	f.Add(join(masked(OpBinary, make([]byte, 200)), masked(final|OpContinuation, make([]byte, 300))), uint64(2))
	f.Add([]byte{0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5}, uint64(3))
	f.Fuzz(func(t *testing.T, sent []byte, seed uint64) {
		whole, err := all(bytes.NewReader(sent), 1<<16)
		pieces, piecesErr := all(&randomReader{bytes.NewReader(sent), rand.New(rand.NewPCG(seed, 0))}, MinBuffer)
		if fmt.Sprint(whole) != fmt.Sprint(pieces) || fmt.Sprint(err) != fmt.Sprint(piecesErr) {
			t.Errorf("whole: %q, %v; in pieces: %q, %v", whole, err, pieces, piecesErr)
		}
	})
}

type randomReader struct {
	io.Reader
	random *rand.Rand
}

func (r *randomReader) Read(p []byte) (int, error) {
	if len(p) > 0 {
		p = p[:1+r.random.IntN(len(p))]
	}
	return r.Reader.Read(p)
}
