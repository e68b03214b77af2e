package shellvars

import (
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	vars, bad := Parse([]byte("\ufeff# comment\n\nA=1\nexport B=\"b c\" # d\n C='\"x\", \"y\"'\nD=\nE=a#b\nF=\"\\\"\\$\"x'y'\r\nA=2\n"))
	var got []string
	for _, v := range vars {
		got = append(got, fmt.Sprintf("%s=%s:%d", v.Name, v.Value, v.Line))
	}
	if want := `A=1:3|B=b c:4|C="x", "y":5|D=:6|E=a#b:7|F="$xy:8|A=2:9`; strings.Join(got, "|") != want || len(bad) > 0 {
		t.Errorf("%s, %v, want %s", strings.Join(got, "|"), bad, want)
	}
}

func TestNotUnderstood(t *testing.T) {
	for line, want := range map[string]string{
		"secret":          "not an assignment",
		"1A=secret":       "not an assignment",
		"A=\"secret":      "a quotation mark of A is not closed",
		"A='secret":       "a quotation mark of A is not closed",
		"A=$(cat secret)": "A depends on another variable or a command",
		"A=`secret`":      "A depends on",
		"A=\"$secret\"":   "A depends on",
		"A=secret secret": "white space and no quotation marks",
		"A=secret\\":      "goes on in the next line",
	} {
		vars, bad := Parse([]byte("X=1\n" + line + "\nY=2"))
		if len(vars) != 2 || len(bad) != 1 || bad[0].Line != 2 || !strings.Contains(bad[0].Error(), want) || strings.Contains(bad[0].Error(), "secret") {
			t.Errorf("%s: %v, %v, want %q", line, vars, bad, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("export A=\"b c\" # d\nB=$(x)\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		vars, _ := Parse(text)
		for _, v := range vars {
			if v.Name == "" || v.Line < 1 {
				t.Errorf("%q: %+v", text, v)
			}
		}
	})
}
