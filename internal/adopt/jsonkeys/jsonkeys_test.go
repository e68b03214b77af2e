package jsonkeys

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	all, err := Parse([]byte("{\n \"a\": [1, {\"b\": null}, []],\n \"c\": {\n  \"d\": true, \"e\":\n  \"x\"}, \"f\": 86400}\n"))
	var got []string
	for _, e := range all {
		got = append(got, fmt.Sprintf("%s=%s:%d", e.Path, e.Value, e.Line))
	}
	if want := "a.0=1:2 a.1.b=:2 c.d=true:4 c.e=x:4 f=86400:5"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("%v, %v, want %s", got, err, want)
	}
}

func TestFaults(t *testing.T) {
	for text, want := range map[string]string{
		"":                     "line 1: the file ends too early",
		"{\n\"a\": 1,\n":       "line 2: the file ends too early",
		"{\n\"a\": secret}":    "line 2: this is not JSON",
		"{\n // x\n \"a\": 1}": "line 2: this is not JSON",
		"[1]":                  "line 1: it is not a JSON object",
		"{} {}":                "line 1: there is more after the end",
		"{\"a\": [1,]}":        "this is not JSON",
		strings.Repeat("{\"a\":", 70) + "1" + strings.Repeat("}", 70): "too deep",
	} {
		_, err := Parse([]byte(text))
		if bad := (*Error)(nil); !errors.As(err, &bad) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"a": [1, {"b": null}], "c": "d"}`))
	f.Fuzz(func(t *testing.T, text []byte) { _, _ = Parse(text) })
}

// TestManyValues: lines are counted once, not from the start for each value.
func TestManyValues(t *testing.T) {
	const n = 20_000
	all, err := Parse([]byte(`{"a":[` + strings.Repeat("1\n,", n) + "1]}"))
	if err != nil || len(all) != n+1 || all[n].Line != n+1 {
		t.Errorf("%d values, the last one in line %d, %v", len(all), all[len(all)-1].Line, err)
	}
}
