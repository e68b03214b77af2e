package proto

import (
	"bytes"
	"encoding/json"
	"slices"
	"unicode/utf8"
)

// Object is the members of a JSON object in their order, values as they were written. Names are
// compared as readers in JavaScript compare them, by every letter, and of members of one name the
// last value counts: what is checked here is what they see, which decoding into a struct does not
// promise.
type Object []Member

// Member is one member of an [Object].
type Member struct {
	Name  string
	Value json.RawMessage
}

// ParseObject reads one JSON object and nothing else. The result keeps no part of text.
func ParseObject(text []byte) (Object, bool) {
	if text = bytes.TrimLeft(text, space); len(text) == 0 || text[0] != '{' || !json.Valid(text) {
		return nil, false
	}
	text = bytes.Clone(text)
	var o Object
	// Of the members of an object that has many: a search for each would take for ever.
	var places map[string]int
	eachMember(text, func(quoted, value []byte) {
		name := memberName(quoted)
		if len(o) == fewMembers && places == nil {
			places = make(map[string]int)
			for place, m := range o {
				places[m.Name] = place
			}
		}
		if places == nil {
			o.Set(name, value)
		} else if place, ok := places[name]; ok {
			o[place].Value = value
		} else {
			places[name] = len(o)
			o = append(o, Member{name, value})
		}
	})
	return o, true
}

// fewMembers is how many are searched one by one.
const fewMembers = 16

// What follows finds its way in text that is known to be valid, so that nothing is looked at more
// than once: bodies are large.

const space = " \t\r\n"

func skipSpace(text []byte, i int) int {
	for text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n' {
		i++
	}
	return i
}

// eachMember gives the members of an object, which is all of text, in their order: names as they
// are written, and values.
func eachMember(text []byte, f func(quoted, value []byte)) {
	for i := skipSpace(text, 1); text[i] != '}'; i = skipSpace(text, i) {
		if text[i] == ',' {
			i = skipSpace(text, i+1)
		}
		end := stringEnd(text, i)
		quoted := text[i:end]
		i = skipSpace(text, skipSpace(text, end)+1) // over the colon
		end = valueEnd(text, i)
		f(quoted, text[i:end:end])
		i = end
	}
}

// stringEnd gives where the string ends that begins at i.
func stringEnd(text []byte, i int) int {
	for i++; ; i++ {
		i += bytes.IndexByte(text[i:], '"')
		escapes := 0
		for text[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
}

// valueEnd gives where the value ends that begins at i and is not all of text.
func valueEnd(text []byte, i int) int {
	for depth := 0; ; {
		switch text[i] {
		case '"':
			i = stringEnd(text, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		default:
			if depth == 0 {
				return i + bytes.IndexAny(text[i:], ",}]"+space)
			}
		}
		i++
		if depth == 0 {
			return i
		}
	}
}

// memberString gives the value of an object's member that is a string, and the empty string if
// there is none: what [Object] would give, at less cost.
func memberString(text []byte, name string) (s string) {
	var last []byte
	eachMember(text, func(quoted, value []byte) {
		if plain := quoted[1 : len(quoted)-1]; string(plain) == name || bytes.IndexByte(plain, '\\') >= 0 && memberName(quoted) == name {
			last = value
		}
	})
	if len(last) > 0 && last[0] == '"' {
		s = memberName(last)
	}
	return s
}

// memberName reads a quoted name, or any other string.
func memberName(quoted []byte) string {
	if plain := quoted[1 : len(quoted)-1]; utf8.Valid(plain) && bytes.IndexByte(plain, '\\') < 0 {
		return string(plain)
	}
	var name string
	_ = json.Unmarshal(quoted, &name) // a string of valid text always decodes
	return name
}

// Get gives the value of a member, nil if there is none of that name.
func (o Object) Get(name string) json.RawMessage {
	if i := o.index(name); i >= 0 {
		return o[i].Value
	}
	return nil
}

// Set gives a member a value, in its place, or at the end if it is new.
func (o *Object) Set(name string, value json.RawMessage) {
	if i := o.index(name); i >= 0 {
		(*o)[i].Value = value
		return
	}
	*o = append(*o, Member{name, value})
}

// Delete takes a member off, if there is one of that name.
func (o *Object) Delete(name string) {
	if i := o.index(name); i >= 0 {
		*o = slices.Delete(*o, i, i+1)
	}
}

// String gives the value of a member that is a string, and the empty string if it is none.
func (o Object) String(name string) (s string) {
	if value := o.Get(name); len(value) > 0 && value[0] == '"' {
		_ = json.Unmarshal(value, &s) // a member's value is valid
	}
	return s
}

// Append appends the text of o to b.
func (o Object) Append(b []byte) []byte {
	b = append(b, '{')
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendString(b, m.Name)
		b = append(append(b, ':'), m.Value...)
	}
	return append(b, '}')
}

func (o Object) index(name string) int {
	return slices.IndexFunc(o, func(m Member) bool { return m.Name == name })
}

// AppendString appends s as a string of JSON, in which only what must be escaped is.
func AppendString(b []byte, s string) []byte {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return append(b, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
}
