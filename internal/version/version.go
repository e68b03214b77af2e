// Package version says which build of this module a process runs.
package version

import (
	"cmp"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// version is the version of a release, which its build sets:
//
//	go build -ldflags '-X pushgate/internal/version.version=v1.2.3'
var version string

// Build says what a program was built of.
type Build struct {
	// Of the release, else as Go derives it from the repository; "devel" if neither is known.
	Version string
	Commit  string // whole, with "+dirty" if files had been changed; "unknown" outside a repository
	Date    string // of the commit, as in RFC 3339; "unknown" outside a repository
	Go      string // version of the compiler
}

// Get returns the build of this process.
func Get() Build {
	info, _ := debug.ReadBuildInfo() // nil only in a program built without modules
	return of(version, info)
}

// of returns the build that info describes. release overrides its version.
func of(release string, info *debug.BuildInfo) Build {
	b := Build{Version: release, Commit: "unknown", Date: "unknown", Go: "unknown"}
	if info == nil {
		b.Version = cmp.Or(b.Version, "devel")
		return b
	}
	b.Version = cmp.Or(b.Version, strings.Trim(info.Main.Version, "()"), "devel")
	b.Go = info.GoVersion
	dirty := false
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Commit = setting.Value
		case "vcs.time":
			b.Date = setting.Value
		case "vcs.modified":
			dirty = setting.Value == "true"
		}
	}
	if dirty {
		b.Commit += "+dirty"
	}
	return b
}

// String returns the build on one line.
func (b Build) String() string {
	return fmt.Sprintf("%s (commit %s, %s, %s)", b.Version, b.Commit, b.Date, b.Go)
}

// LogValue returns the build as a group.
func (b Build) LogValue() slog.Value {
	return slog.GroupValue(slog.String("version", b.Version), slog.String("commit", b.Commit), slog.String("date", b.Date), slog.String("go", b.Go))
}

// Collector returns a metric that is always 1 and has the build as labels.
func (b Build) Collector() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pushgate_build_info",
		Help:        "Always 1; the labels are the build of this process.",
		ConstLabels: prometheus.Labels{"version": b.Version, "commit": b.Commit, "go": b.Go}}, func() float64 { return 1 })
}
