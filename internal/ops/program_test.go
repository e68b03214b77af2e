package ops

import (
	"runtime"
	"strings"
	"testing"
)

// TestProgram: --version names the program and what it was built with; an argument that means
// nothing does not start it.
func TestProgram(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		runs bool
		want string
	}{
		{nil, 7, true, ""},
		{[]string{"--version"}, 0, false, "edge version devel (commit unknown, unknown, " + runtime.Version() + ")\n"},
		{[]string{"--help"}, 0, false, "usage: edge [--version]"},
		{[]string{"--listen", ":80"}, 2, false, "Settings are environment variables"},
	} {
		var out strings.Builder
		ran := false
		code := Program("edge", c.args, &out, func() int { ran = true; return 7 })
		if code != c.code || ran != c.runs || !strings.Contains(out.String(), c.want) {
			t.Errorf("%q: code %d, ran %v, %q", c.args, code, ran, out.String())
		}
	}
}
