// Package nginxconf reads the grammar of nginx's configuration files: directives and blocks, each
// with its line.
package nginxconf

import (
	"fmt"
	"strings"
)

// Directive is one directive.
type Directive struct {
	Name  string
	Args  []string
	Line  int
	Block []Directive // nil if it has none
}

// Arg returns an argument, empty if there is none with that index.
func (d Directive) Arg(i int) string {
	if i >= 0 && i < len(d.Args) {
		return d.Args[i]
	}
	return ""
}

// Error is why a file cannot be read.
type Error struct {
	Line    int
	Problem string
}

// Error returns the line and the problem.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Problem) }

// maxDepth is how many blocks may be inside one another.
const maxDepth = 64

// Parse returns the directives of a file. Includes are directives like others. An error is an
// [*Error].
func Parse(text []byte) ([]Directive, error) {
	p := &parser{text: string(text), line: 1}
	return p.block(0)
}

type parser struct {
	text string
	at   int
	line int
}

// block reads directives up to the end of the block, or of the file at depth 0.
func (p *parser) block(depth int) ([]Directive, error) {
	if depth > maxDepth {
		return nil, &Error{p.line, "the blocks are too deep"}
	}
	all := []Directive{}
	var d Directive
	begun := false // with a name, which may be empty: the maps have such directives
	end := func() {
		if begun {
			all = append(all, d)
		}
		d, begun = Directive{}, false
	}
	for {
		word, quoted, err := p.token()
		if err != nil {
			return nil, err
		}
		switch {
		case word == "" && !quoted:
			if begun || depth > 0 {
				return nil, &Error{p.line, "the file ends inside a directive or a block: it is not complete"}
			}
			return all, nil
		case word == ";" && !quoted:
			end()
		case word == "}" && !quoted:
			if depth == 0 {
				return nil, &Error{p.line, "a block is closed that is not open"}
			}
			if begun {
				return nil, &Error{p.line, "a directive does not end in a semicolon"}
			}
			return all, nil
		case word == "{" && !quoted:
			if strings.HasSuffix(d.Name, "_by_lua_block") {
				if err := p.skip(); err != nil {
					return nil, err
				}
			} else if d.Block, err = p.block(depth + 1); err != nil {
				return nil, err
			}
			begun = true
			end()
		case !begun:
			d.Name, d.Line, begun = word, p.line, true
		default:
			d.Args = append(d.Args, word)
		}
	}
}

// token returns the next word, or one of the signs ; { and } if it is not quoted. It is empty and
// not quoted at the end of the file.
func (p *parser) token() (word string, quoted bool, err error) {
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '\n':
			p.line++
			p.at++
		case c == ' ' || c == '\t' || c == '\r':
			p.at++
		case c == '#':
			for p.at < len(p.text) && p.text[p.at] != '\n' {
				p.at++
			}
		case c == ';' || c == '{' || c == '}':
			p.at++
			return string(c), false, nil
		case c == '\'' || c == '"':
			word, err := p.quotedWord(c)
			return word, true, err
		default:
			return p.bareWord(), true, nil
		}
	}
	return "", false, nil
}

func (p *parser) quotedWord(quote byte) (string, error) {
	line := p.line
	var b strings.Builder
	for p.at++; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == quote:
			p.at++
			p.line += strings.Count(b.String(), "\n")
			return b.String(), nil
		case c == '\\' && p.at+1 < len(p.text) && (p.text[p.at+1] == quote || p.text[p.at+1] == '\\'):
			p.at++
			b.WriteByte(p.text[p.at])
		default:
			b.WriteByte(c)
		}
	}
	return "", &Error{line, "a quotation mark is not closed: the file is not complete"}
}

// bareWord reads up to white space or a sign. Braces of a variable, ${name}, belong to it.
func (p *parser) bareWord() string {
	start := p.at
	for p.at < len(p.text) {
		c := p.text[p.at]
		switch {
		case c == '\\' && p.at+1 < len(p.text):
			p.at++
			if p.text[p.at] == '\n' {
				p.line++
			}
		case strings.HasPrefix(p.text[p.at:], "${"):
			if end := strings.IndexAny(p.text[p.at:], "}\n;"); end > 0 && p.text[p.at+end] == '}' {
				p.at += end
			}
		case c == ';' || c == '{' || c == '}' && p.at > start || strings.IndexByte(" \t\r\n", c) >= 0:
			return p.text[start:p.at]
		}
		p.at++
	}
	return p.text[start:]
}

// skip goes on behind the brace that closes a block of another language.
func (p *parser) skip() error {
	line := p.line
	for open := 1; p.at < len(p.text); p.at++ {
		switch p.text[p.at] {
		case '\n':
			p.line++
		case '{':
			open++
		case '}':
			if open--; open == 0 {
				p.at++
				return nil
			}
		}
	}
	return &Error{line, "a block does not end: the file is not complete"}
}
