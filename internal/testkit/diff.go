// Package testkit contains what the tests of several packages share.
package testkit

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// maxLines is how many differences [Diff] lists. More of them seldom help.
const maxLines = 20

// Diff returns the differences between want and got, one line each, and "" if they are equal.
// Unexported fields count. Times are equal if they are the same instant, protobuf messages if
// proto.Equal reports it, and an empty slice or map equals a nil one. Functions are equal only if
// both are nil. Values must not refer to themselves.
func Diff(want, got any) string {
	var d differ
	d.compare("", reflect.ValueOf(want), reflect.ValueOf(got))
	if len(d) > maxLines {
		d = append(d[:maxLines], fmt.Sprintf("and %d more", len(d)-maxLines))
	}
	return strings.Join(d, "\n")
}

// Equal reports whether [Diff] finds no difference.
func Equal(want, got any) bool { return Diff(want, got) == "" }

// differ collects differences.
type differ []string

func (d *differ) add(path string, want, got any) {
	*d = append(*d, fmt.Sprintf("%s: got %+v, want %+v", strings.TrimPrefix(path, "."), got, want))
}

func (d *differ) compare(path string, want, got reflect.Value) {
	if !want.IsValid() || !got.IsValid() || want.Type() != got.Type() {
		if want.IsValid() || got.IsValid() {
			d.add(path, describe(want), describe(got))
		}
		return
	}
	if d.special(path, want, got) {
		return
	}
	switch want.Kind() {
	case reflect.Pointer, reflect.Interface:
		if want.IsNil() || got.IsNil() {
			if want.IsNil() != got.IsNil() {
				d.add(path, describe(want), describe(got))
			}
			return
		}
		d.compare(path, want.Elem(), got.Elem())
	case reflect.Struct:
		for i := range want.NumField() {
			d.compare(path+"."+want.Type().Field(i).Name, want.Field(i), got.Field(i))
		}
	case reflect.Slice, reflect.Array:
		d.list(path, want, got)
	case reflect.Map:
		for _, key := range want.MapKeys() {
			d.compare(fmt.Sprintf("%s[%v]", path, key), want.MapIndex(key), got.MapIndex(key))
		}
		for _, key := range got.MapKeys() {
			if !want.MapIndex(key).IsValid() {
				d.add(fmt.Sprintf("%s[%v]", path, key), "nothing", got.MapIndex(key))
			}
		}
	case reflect.String:
		d.text(path, want.String(), got.String())
	case reflect.Func:
		if !want.IsNil() || !got.IsNil() {
			d.add(path, "nil, because functions cannot be compared", "a function")
		}
	default:
		if !want.Equal(got) {
			d.add(path, want, got)
		}
	}
}

// special compares times and protobuf messages, whose fields may differ although they are equal. It
// reports false for other values.
func (d *differ) special(path string, want, got reflect.Value) bool {
	if !want.CanInterface() || !got.CanInterface() {
		return false
	}
	switch w := want.Interface().(type) {
	case time.Time:
		if g := got.Interface().(time.Time); !w.Equal(g) {
			d.add(path, w, g)
		}
		return true
	case proto.Message:
		if g := got.Interface().(proto.Message); !proto.Equal(w, g) {
			d.text(path, prototext.Format(w), prototext.Format(g))
			if len(*d) == 0 { // the text shows no difference between nil and empty
				d.add(path, describe(want), describe(got))
			}
		}
		return true
	}
	return false
}

// list compares slices and arrays: of bytes as one text, of others element by element.
func (d *differ) list(path string, want, got reflect.Value) {
	if want.Type().Elem().Kind() == reflect.Uint8 {
		d.text(path, bytesOf(want), bytesOf(got))
		return
	}
	for i := range min(want.Len(), got.Len()) {
		d.compare(fmt.Sprintf("%s[%d]", path, i), want.Index(i), got.Index(i))
	}
	for i := got.Len(); i < want.Len(); i++ {
		d.add(fmt.Sprintf("%s[%d]", path, i), describe(want.Index(i)), "nothing")
	}
	for i := want.Len(); i < got.Len(); i++ {
		d.add(fmt.Sprintf("%s[%d]", path, i), "nothing", describe(got.Index(i)))
	}
}

// text compares texts, of several lines line by line.
func (d *differ) text(path, want, got string) {
	if want == got {
		return
	}
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	if len(w) != len(g) || len(w) == 1 {
		for len(w) > 1 && len(g) > 1 && w[0] == g[0] {
			w, g = w[1:], g[1:]
		}
		for len(w) > 1 && len(g) > 1 && w[len(w)-1] == g[len(g)-1] {
			w, g = w[:len(w)-1], g[:len(g)-1]
		}
		d.add(path, quote(w), quote(g))
		return
	}
	for i := range w {
		if w[i] != g[i] {
			d.add(fmt.Sprintf("%s line %d", path, i+1), quote(w[i:i+1]), quote(g[i:i+1]))
		}
	}
}

func quote(lines []string) string { return fmt.Sprintf("%q", strings.Join(lines, "\n")) }

// bytesOf returns the bytes of a slice or an array, also of an unexported field.
func bytesOf(v reflect.Value) string {
	b := make([]byte, v.Len())
	for i := range b {
		b[i] = byte(v.Index(i).Uint())
	}
	return string(b)
}

// describe returns a value as [Diff] prints it.
func describe(v reflect.Value) string {
	if !v.IsValid() {
		return "nothing"
	}
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		return fmt.Sprintf("&%+v", v.Elem())
	}
	return fmt.Sprintf("%+v (%v)", v, v.Type())
}
