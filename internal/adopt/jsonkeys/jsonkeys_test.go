package jsonkeys

import "testing"

func Fuzz(f *testing.F) {
	f.Add([]byte("{\"a\": [1, {\"b\": null}], \"c\": \"d\"}"))
	f.Fuzz(func(t *testing.T, text []byte) { _, _ = Parse(text) })
}
