package phparray

import "testing"

func Fuzz(f *testing.F) {
	f.Add([]byte("<?php\nreturn array(\"a\" => [1, true, X::Y, \"b\\\\\"c\"], /* x */ 2 => -1.5);"))
	f.Fuzz(func(t *testing.T, text []byte) { _, _ = Parse(text) })
}
