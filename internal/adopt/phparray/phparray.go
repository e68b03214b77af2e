// Package phparray reads the array that a PHP file of settings returns, without executing anything.
package phparray

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Kind is what a [Value] is.
type Kind int

// The kinds.
const (
	Scalar  Kind = iota // a string, number, true, false or null: Value.Text
	Array               // Value.Items
	Unknown             // an expression that is not a literal, such as a constant or a call
)

// Value is one value of an array.
type Value struct {
	Kind  Kind
	Text  string // of a scalar: true is "1", false and null are "", as PHP converts them
	Items []Item // of an array, in their order
	Line  int
}

// Item is one element of an array. An element without a key has its number.
type Item struct {
	Key   string
	Line  int
	Value Value
}

// Get returns the last item with a key, as PHP would. ok is false if there is none.
func (v Value) Get(key string) (item Item, ok bool) {
	for _, i := range v.Items {
		if i.Key == key {
			item, ok = i, true
		}
	}
	return item, ok
}

// maxDepth is how many arrays may be inside one another.
const maxDepth = 64

// Error is why a text cannot be read. It repeats nothing of it.
type Error struct {
	Line    int
	Problem string
}

// Error returns the line and the problem.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Problem) }

// Parse returns the array that a PHP file returns at its top level. What is not a literal becomes a
// value of kind Unknown. A text that ends too early, or that this reader does not understand, is an
// [*Error].
func Parse(text []byte) (Value, error) {
	p := &parser{text: string(text), line: 1}
	v, err := p.file()
	if err != nil && !errors.As(err, new(*Error)) {
		err = p.fail(err.Error())
	}
	return v, err
}

type parser struct {
	text  string
	at    int
	line  int
	depth int
}

func (p *parser) fail(problem string) error { return &Error{p.line, problem} }

// file finds the return statement. What stands before it is skipped, statement by statement.
func (p *parser) file() (Value, error) {
	if i := strings.Index(p.text, "<?php"); i >= 0 {
		p.advance(i + len("<?php"))
	} else {
		return Value{}, p.fail("there is no <?php")
	}
	for {
		if err := p.space(); err != nil {
			return Value{}, err
		}
		if p.at == len(p.text) {
			return Value{}, p.fail("the file returns nothing")
		}
		if p.word() == "return" {
			p.advance(len("return"))
			v, err := p.value(false)
			if err != nil {
				return Value{}, err
			}
			if v.Kind != Array {
				return Value{}, p.fail("the file does not return an array that is written out")
			}
			if err := p.space(); err != nil {
				return Value{}, err
			}
			if p.peek() != ';' {
				return Value{}, p.fail("after the array there is no semicolon: the file is not complete")
			}
			return v, nil
		}
		if err := p.skip(";", false); err != nil {
			return Value{}, err
		}
		p.advance(1)
	}
}

func (p *parser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *parser) advance(n int) {
	p.line += strings.Count(p.text[p.at:p.at+n], "\n")
	p.at += n
}

// space skips white space and comments.
func (p *parser) space() error {
	for p.at < len(p.text) {
		rest := p.text[p.at:]
		switch {
		case strings.ContainsRune(" \t\r\n", rune(rest[0])):
			p.advance(1)
		case strings.HasPrefix(rest, "//"), rest[0] == '#' && !strings.HasPrefix(rest, "#["):
			if i := strings.IndexByte(rest, '\n'); i >= 0 {
				p.advance(i)
			} else {
				p.advance(len(rest))
			}
		case strings.HasPrefix(rest, "/*"):
			i := strings.Index(rest[2:], "*/")
			if i < 0 {
				return p.fail("a comment does not end: the file is not complete")
			}
			p.advance(i + 4)
		default:
			return nil
		}
	}
	return nil
}

// word returns the name that begins here, in small letters.
func (p *parser) word() string {
	end := p.at
	for end < len(p.text) && (p.text[end] == '_' || p.text[end] == '\\' || p.text[end] >= 0x80 ||
		p.text[end]|0x20 >= 'a' && p.text[end]|0x20 <= 'z' || end > p.at && p.text[end] >= '0' && p.text[end] <= '9') {
		end++
	}
	return strings.ToLower(p.text[p.at:end])
}

// value reads one expression, which may be a key. What follows a literal makes it an expression
// that is none.
func (p *parser) value(key bool) (Value, error) {
	if err := p.space(); err != nil {
		return Value{}, err
	}
	line := p.line
	v, ok, err := p.literal()
	if err != nil {
		return Value{}, err
	}
	if err := p.space(); err != nil {
		return Value{}, err
	}
	if c := p.peek(); ok && (c == 0 || c == ',' || c == ')' || c == ']' || c == ';' || key && strings.HasPrefix(p.text[p.at:], "=>")) {
		v.Line = line
		return v, nil
	}
	if err := p.skip(",)];", key); err != nil {
		return Value{}, err
	}
	return Value{Kind: Unknown, Line: line}, nil
}

// literal reads a literal; ok is false if there is none, and then nothing may have been read.
func (p *parser) literal() (v Value, ok bool, err error) {
	switch c := p.peek(); {
	case c == '\'' || c == '"':
		text, plain, err := p.quoted()
		return Value{Text: text}, plain, err
	case c == '[':
		p.advance(1)
		v, err = p.array(']')
		return v, true, err
	case c == '-' || c >= '0' && c <= '9':
		end := p.at + 1
		for end < len(p.text) && (p.text[end] >= '0' && p.text[end] <= '9' || p.text[end] == '.' || p.text[end] == '_') {
			end++
		}
		text := strings.ReplaceAll(p.text[p.at:end], "_", "")
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			return Value{}, false, nil
		}
		p.advance(end - p.at)
		return Value{Text: text}, true, nil
	}
	word := p.word()
	switch word {
	case "true", "false", "null":
		p.advance(len(word))
		if word == "true" {
			v.Text = "1"
		}
		return v, true, nil
	case "array":
		before, line := p.at, p.line
		p.advance(len(word))
		if err := p.space(); err != nil {
			return Value{}, false, err
		}
		if p.peek() == '(' {
			p.advance(1)
			v, err = p.array(')')
			return v, true, err
		}
		p.at, p.line = before, line
	}
	return Value{}, false, nil
}

// array reads what is behind the opening bracket.
func (p *parser) array(end byte) (Value, error) {
	v := Value{Kind: Array}
	if p.depth++; p.depth > maxDepth {
		return v, p.fail("the arrays are too deep")
	}
	defer func() { p.depth-- }()
	for next := 0; ; {
		if err := p.space(); err != nil {
			return v, err
		}
		switch p.peek() {
		case 0:
			return v, p.fail("an array does not end: the file is not complete")
		case end:
			p.advance(1)
			return v, nil
		}
		item := Item{Line: p.line, Key: strconv.Itoa(next)}
		first, err := p.value(true)
		if err != nil {
			return v, err
		}
		item.Value = first
		if strings.HasPrefix(p.text[p.at:], "=>") {
			p.advance(2)
			if item.Value, err = p.value(false); err != nil {
				return v, err
			}
			item.Key = first.Text
			if first.Kind != Scalar {
				item.Key, item.Value.Kind = "", Unknown
			}
		} else {
			next++
		}
		v.Items = append(v.Items, item)
		switch p.peek() {
		case ',':
			p.advance(1)
		case end:
		case 0:
			return v, p.fail("an array does not end: the file is not complete")
		default:
			return v, p.fail("there is neither a comma nor the end of the array")
		}
	}
}

// quoted reads a string. plain is false if PHP would put variables into it.
func (p *parser) quoted() (text string, plain bool, err error) {
	quote, line := p.peek(), p.line
	plain = true
	var b strings.Builder
	for i := p.at + 1; i < len(p.text); i++ {
		c := p.text[i]
		switch {
		case c == quote:
			p.advance(i + 1 - p.at)
			return b.String(), plain, nil
		case c == '\\' && i+1 < len(p.text):
			i++
			next := p.text[i]
			escaped, known := map[byte]byte{'\\': '\\', quote: quote}[next], next == '\\' || next == quote
			if quote == '"' && !known {
				escaped, known = map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', '$': '$'}[next], strings.IndexByte("ntr$", next) >= 0
				plain = plain && (known || strings.IndexByte("01234567xuvef", next) < 0)
			}
			if !known {
				b.WriteByte('\\')
				escaped = next
			}
			b.WriteByte(escaped)
		case c == '$' && quote == '"':
			plain = false
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	p.line = line
	return "", false, p.fail("a string does not end: the file is not complete")
}

// skip goes on to the first of the bytes that is not inside brackets, strings or comments, or to
// the arrow behind a key. A statement, which ends in a semicolon, may also end in a brace.
func (p *parser) skip(ends string, key bool) error {
	var open []byte
	for {
		if err := p.space(); err != nil {
			return err
		}
		c := p.peek()
		switch {
		case p.at == len(p.text):
			return p.fail("an expression does not end: the file is not complete")
		case strings.HasPrefix(p.text[p.at:], "<<<"):
			return p.fail("a heredoc, which is not understood")
		case len(open) == 0 && strings.IndexByte(ends, c) >= 0,
			len(open) == 0 && key && strings.HasPrefix(p.text[p.at:], "=>"):
			return nil
		case c == '\'' || c == '"':
			if _, _, err := p.quoted(); err != nil {
				return err
			}
			continue
		case c == '(' || c == '[' || c == '{':
			open = append(open, c)
		case c == ')' || c == ']' || c == '}':
			if len(open) == 0 {
				return p.fail("a bracket is closed that is not open")
			}
			if open = open[:len(open)-1]; len(open) == 0 && c == '}' && ends == ";" {
				return nil
			}
		}
		p.advance(1)
	}
}
