package main

import (
	"bytes"
	"strings"
	"testing"
)

// call runs the program with a key in its environment, unless that is empty.
func call(t *testing.T, key string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	w := world{nil, &out, &errs}
	if key != "" {
		w.environ = append(w.environ, "PUSHGATE_KEYS="+key)
	}
	code = run(t.Context(), w, args)
	return code, out.String(), errs.String()
}

func TestLoadIsCalledWrongly(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"", 2, "usage: pushgate load SCENARIO"},
		{"--help", 0, "fanout"},
		{"fanout --rate 0", 2, "above zero, or max"},
		{"fanout --sources x", 2, "sources"},
		{"fanout unicast", 2, "usage"},
		{"nothing --sub x --pub y", 1, `unknown scenario "nothing"`},
		{"page", 1, "page needs --json"},
		{"compare", 1, "compare needs --json"},
	} {
		code, _, stderr := call(t, "a key of the load tests", strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: code %d, %q", c.args, code, stderr)
		}
	}
}

func TestKeys(t *testing.T) {
	for _, c := range []struct{ environ, flag, want string }{
		{"the first,the second", "", "the first"},
		{"the first,the second", "another", "another"},
		{"", "another", "another"},
		{"", "", ""},
	} {
		a := arguments{key: c.flag}
		if got := a.signatureKey(world{environ: []string{"PUSHGATE_KEYS=" + c.environ}}); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
	if code, _, stderr := call(t, "", "fanout", "--sub", "x", "--pub", "y"); code != 1 || !strings.Contains(stderr, "set PUSHGATE_KEYS or use --key") {
		t.Errorf("code %d, %q", code, stderr)
	}
}
