package proto

import (
	"bytes"
	"encoding/json"
	"slices"
	"unicode/utf8"
)

// Object holds the members of a JSON object in their order, with values as they were written. As in
// JavaScript, names are compared exactly, and of several members with the same name the last value
// counts. So the values that are checked here are those that readers see. Decoding into a struct
// does not promise that.
type Object []Member

// Member is one member of an [Object].
type Member struct {
	Name  string
	Value json.RawMessage
}

// ParseObject parses one JSON object. It returns false for anything else. The result does not share
// the memory of text.
func ParseObject(text []byte) (Object, bool) {
	if text = bytes.TrimLeft(text, space); len(text) == 0 || text[0] != '{' || !json.Valid(text) {
		return nil, false
	}
	text = bytes.Clone(text)
	var o Object
	// Indexes by name, once there are many members: a search for each would take too long.
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

// fewMembers is up to how many members are searched one by one.
const fewMembers = 16

// The functions below scan text that is known to be valid JSON. They look at each byte once,
// because bodies are large.

const space = " \t\r\n"

func skipSpace(text []byte, i int) int {
	for text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n' {
		i++
	}
	return i
}

// eachMember calls f for each member of an object, in their order, with the name as it is written,
// in quotation marks, and the value. The object is all of text.
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

// stringEnd returns the index after the string that begins at i.
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

// valueEnd returns the index after the value that begins at i. The value must not be all of text.
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

// memberString returns the value of an object's member, or the empty string if there is no such
// member or it is not a string. It returns the same as [Object.String], at less cost.
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

// memberName decodes a JSON string, such as the name of a member.
func memberName(quoted []byte) string {
	if plain := quoted[1 : len(quoted)-1]; utf8.Valid(plain) && bytes.IndexByte(plain, '\\') < 0 {
		return string(plain)
	}
	var name string
	_ = json.Unmarshal(quoted, &name) // a string of valid text always decodes
	return name
}

// Get returns the value of a member, or nil if there is no member of that name.
func (o Object) Get(name string) json.RawMessage {
	if i := o.index(name); i >= 0 {
		return o[i].Value
	}
	return nil
}

// Set sets the value of a member. A new member is added at the end.
func (o *Object) Set(name string, value json.RawMessage) {
	if i := o.index(name); i >= 0 {
		(*o)[i].Value = value
		return
	}
	*o = append(*o, Member{name, value})
}

// Delete removes a member, if there is one of that name.
func (o *Object) Delete(name string) {
	if i := o.index(name); i >= 0 {
		*o = slices.Delete(*o, i, i+1)
	}
}

// String returns the value of a member, or the empty string if there is no such member or it is not
// a string.
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

// AppendString appends s as a JSON string. It escapes only what must be escaped.
func AppendString(b []byte, s string) []byte {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return append(b, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
}
