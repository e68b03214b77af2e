package proto

import (
	"bytes"
	"encoding/json"
	"slices"
)

// Object is the members of a JSON object in their order, values as they were written. Names are compared as readers in JavaScript
// compare them, by every letter, and of members of one name the last value counts: what is checked here is what they see, which
// decoding into a struct does not promise.
type Object []Member

// Member is one member of an [Object].
type Member struct {
	Name  string
	Value json.RawMessage
}

// ParseObject reads one JSON object and nothing else. The result keeps no part of text.
func ParseObject(text []byte) (Object, bool) {
	if text = bytes.TrimLeft(text, " \t\r\n"); len(text) == 0 || text[0] != '{' || !json.Valid(text) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(text))
	var o Object
	_, err := d.Token()
	for err == nil && d.More() {
		var name json.Token
		var value json.RawMessage
		if name, err = d.Token(); err == nil {
			err = d.Decode(&value)
			o.Set(name.(string), value)
		}
	}
	return o, err == nil
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
		b = appendJSONString(b, m.Name)
		b = append(append(b, ':'), m.Value...)
	}
	return append(b, '}')
}

func (o Object) index(name string) int {
	return slices.IndexFunc(o, func(m Member) bool { return m.Name == name })
}

// appendJSONString writes s as it is but for what JSON demands.
func appendJSONString(b []byte, s string) []byte {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return append(b, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
}
