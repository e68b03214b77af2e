package version

import (
	"runtime/debug"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestOf(t *testing.T) {
	vcs := []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-11-28T12:00:00Z"}, {Key: "vcs.modified", Value: "true"}}
	main := debug.Module{Version: "v0.0.0-20261128120000-abc"}
	for _, c := range []struct {
		release string
		info    *debug.BuildInfo
		want    string
	}{
		{"v1.2.3", &debug.BuildInfo{GoVersion: "go1.26.0", Main: main, Settings: vcs}, "v1.2.3 (commit abc+dirty, 2026-11-28T12:00:00Z, go1.26.0)"},
		{"", &debug.BuildInfo{GoVersion: "go1.26.0", Main: main, Settings: vcs[:2]}, "v0.0.0-20261128120000-abc (commit abc, 2026-11-28T12:00:00Z, go1.26.0)"},
		{"", &debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Version: "(devel)"}}, "devel (commit unknown, unknown, go1.26.0)"},
		{"", nil, "devel (commit unknown, unknown, unknown)"},
	} {
		if got := of(c.release, c.info).String(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestCollector: dashboards find the build by these labels.
func TestCollector(t *testing.T) {
	b := Build{Version: "v1.2.3", Commit: "abc", Date: "today", Go: "go1.26.0"}
	const want = `
# HELP pushgate_build_info Always 1; the labels are the build of this process.
# TYPE pushgate_build_info gauge
pushgate_build_info{commit="abc",go="go1.26.0",version="v1.2.3"} 1
`
	if err := testutil.CollectAndCompare(b.Collector(), strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
