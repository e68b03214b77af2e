package shellvars

import "testing"

func Fuzz(f *testing.F) {
	f.Add([]byte("export A=\"b c\" # d\nB=$(x)\n"))
	f.Fuzz(func(t *testing.T, text []byte) { _, _ = Parse(text) })
}
