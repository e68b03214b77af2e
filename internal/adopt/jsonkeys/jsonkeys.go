// Package jsonkeys reads the values of a JSON document as a flat list, each with its path and line.
package jsonkeys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Entry is a string, number, boolean or null of a document.
type Entry struct {
	Path  string // the keys and indexes to it, joined by dots
	Value string // null is empty
	Line  int    // of its key, or of itself in an array
}

// Error is why a text is not a JSON document. It repeats nothing of it.
type Error struct {
	Line    int
	Problem string
}

// Error returns the line and the problem.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Problem) }

// maxDepth is how many objects and arrays may be inside one another.
const maxDepth = 64

// Parse returns the values of an object in their order. Every error is an [*Error].
func Parse(text []byte) ([]Entry, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	p := &parser{decoder: d, text: text}
	first, err := d.Token()
	if err != nil {
		return nil, p.fail(err)
	}
	if first != json.Delim('{') {
		return nil, &Error{p.line(), "it is not a JSON object"}
	}
	if err := p.inside("", 1, '}'); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, &Error{p.line(), "there is more after the end of the object"}
	}
	return p.entries, nil
}

type parser struct {
	decoder *json.Decoder
	text    []byte
	entries []Entry

	at, lines int // how far the lines are counted, and how many there are
}

// line returns the line of the token that was read last.
func (p *parser) line() int {
	end := min(int(p.decoder.InputOffset()), len(p.text)) // it never goes back
	p.lines += bytes.Count(p.text[p.at:end], []byte("\n"))
	p.at = end
	return 1 + p.lines
}

func (p *parser) fail(err error) error {
	line := p.line()
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		line = 1 + bytes.Count(p.text[:min(int(syntax.Offset), len(p.text))], []byte("\n"))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &Error{1 + bytes.Count(bytes.TrimRight(p.text, "\n"), []byte("\n")), "the file ends too early: it is not complete"}
	}
	return &Error{line, "this is not JSON"}
}

// inside reads the rest of an object or an array.
func (p *parser) inside(path string, depth int, end json.Delim) error {
	if depth > maxDepth {
		return &Error{p.line(), "the objects are too deep"}
	}
	for i := 0; ; i++ {
		token, err := p.decoder.Token()
		if err != nil {
			return p.fail(err)
		}
		if token == end {
			return nil
		}
		name, line := strconv.Itoa(i), p.line()
		if end == '}' {
			name, _ = token.(string)
			if token, err = p.decoder.Token(); err != nil {
				return p.fail(err)
			}
		}
		if path != "" {
			name = path + "." + name
		}
		switch token := token.(type) {
		case json.Delim: // ']' and '}' are two behind '[' and '{'
			if err := p.inside(name, depth+1, token+2); err != nil {
				return err
			}
		case nil:
			p.entries = append(p.entries, Entry{name, "", line})
		default:
			p.entries = append(p.entries, Entry{name, fmt.Sprint(token), line})
		}
	}
}
