package adopt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"pushgate/internal/adopt/shellvars"
)

// Bounds of what is read: a root may be anything.
const (
	maxFile    = 1 << 20
	maxEntries = 20_000
	maxDepth   = 8
)

// class is which reader a file is for.
type class int

const (
	nothing class = iota
	classEnv
	classHosts
	classRelease
	classSysconfig
	classConfig
	classCompose
	classManifest
	classRedis
	classNginx
	classLogrotate
	classPortal
)

// places are what is looked through on a machine, relative to its root.
var places = []string{
	"etc/hosts", "etc/os-release", "etc/redhat-release", "etc/sysconfig/push-server-multi", "etc/default", "etc/push-server", "etc/nginx",
	"etc/logrotate.d", "etc/redis", "etc/redis.conf", "opt/push-server/config", "opt/node_modules/push-server/config",
}

// webRoots are where portals lie on a machine.
var webRoots = []string{
	"home/bitrix/www", "home/bitrix/ext_www/*", "home/*/www", "var/www", "var/www/*", "var/www/*/*", "srv/www/*",
}

// skipped are directories that are never looked into.
var skipped = []string{".git", "node_modules", "upload", "vendor", "cache", "managed_cache", "modules", "ssl", "rollback", "site_avaliable", "sites-available"}

// look reads what is below the root.
func look(ctx context.Context, fsys fs.FS) (*survey, error) {
	s := &survey{fsys: fsys, settings: map[string]setting{}, hosts: map[string]string{}, envFiles: map[string][]shellvars.Var{}, badEnv: map[string][]*shellvars.Error{}, referred: map[string]bool{}, rollback: map[string][]byte{}}
	files, err := s.files(ctx)
	if err != nil {
		return nil, err
	}
	byClass := map[class][]string{}
	for _, name := range files {
		if c := classify(name); c != nothing {
			byClass[c] = append(byClass[c], name)
		}
	}
	switch {
	case len(byClass[classCompose]) > 0:
		s.kind = compose
	case len(byClass[classSysconfig]) == 0 && len(byClass[classManifest]) > 0:
		s.kind = kubernetes
	}
	for _, c := range []struct {
		class class
		read  func(name string, text []byte)
	}{
		{classEnv, s.readEnv}, {classHosts, s.readHosts}, {classRelease, s.readRelease}, {classSysconfig, s.readSysconfig}, {classConfig, s.readConfig},
		{classCompose, s.readCompose}, {classManifest, s.readManifest}, {classRedis, s.readRedis}, {classNginx, s.readNginx},
		{classLogrotate, s.readLogrotate}, {classPortal, s.readPortal},
	} {
		for _, name := range byClass[c.class] {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if text, ok := s.load(name); ok {
				c.read(name, text)
			}
		}
	}
	return s, nil
}

// files returns the names of the files that may be of interest, sorted.
func (s *survey) files(ctx context.Context) ([]string, error) {
	roots := slices.Clone(places)
	project := false
	top, err := fs.ReadDir(s.fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("the root cannot be read: %w", err)
	}
	for _, entry := range top {
		if c := classify(entry.Name()); c == classCompose || c == classManifest {
			project = true
		}
	}
	if project {
		roots = []string{"."}
	} else {
		for _, pattern := range webRoots {
			for _, name := range []string{".settings.php", "php_interface/pull.php"} {
				matches, _ := fs.Glob(s.fsys, pattern+"/bitrix/"+name)
				roots = append(roots, matches...)
			}
		}
	}
	var all []string
	entries := 0
	for _, root := range roots {
		err := fs.WalkDir(s.fsys, root, func(name string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				s.unreadable(place{file: name}, "it cannot be read: "+reason(err), "run adopt as root, or as the user who owns it")
				if entry != nil && entry.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			if entries++; entries > maxEntries {
				return fmt.Errorf("more than %d files below the root: name a directory that holds less, such as that of the compose file", maxEntries)
			}
			if entry.IsDir() {
				if slices.Contains(skipped, entry.Name()) || strings.Count(name, "/") >= maxDepth {
					return fs.SkipDir
				}
				return ctx.Err()
			}
			all = append(all, name)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// reason returns what an error of a file says without its path.
func reason(err error) string {
	if bad := (*fs.PathError)(nil); errors.As(err, &bad) {
		return bad.Err.Error()
	}
	return err.Error()
}

// load reads a file, and keeps in mind what could not be read.
func (s *survey) load(name string) ([]byte, bool) {
	info, err := fs.Stat(s.fsys, name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, false // to open a pipe or a device could wait for ever
	}
	var f fs.File
	if err == nil {
		f, err = s.fsys.Open(name)
	}
	if err == nil {
		defer f.Close()
		var text []byte
		if text, err = io.ReadAll(io.LimitReader(f, maxFile+1)); err == nil && len(text) > maxFile {
			err = fmt.Errorf("larger than %d bytes", maxFile)
		}
		if err == nil {
			return text, true
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false // a link to nowhere
	}
	s.unreadable(place{file: name}, "it cannot be read: "+reason(err), "run adopt as root, or as the user who owns it")
	return nil, false
}

var (
	composeName = regexp.MustCompile(`^(docker-)?compose([._-].*)?\.ya?ml$`)
	configName  = regexp.MustCompile(`^(config|pubserver|push-server(-(sub|pub))?(-\d+)?)\.json$`)
	redisName   = regexp.MustCompile(`^redis.*\.conf$`)
)

// classify says by its name what a file is.
func classify(name string) class {
	dir, base := path.Split(name)
	switch {
	case base == ".settings.php", strings.HasSuffix(name, "php_interface/pull.php"):
		return classPortal
	case name == "etc/hosts":
		return classHosts
	case name == "etc/os-release", name == "etc/redhat-release":
		return classRelease
	case strings.HasSuffix(dir, "logrotate.d/"):
		if strings.Contains(base, "push") {
			return classLogrotate
		}
		return nothing
	case strings.HasSuffix(dir, "sysconfig/"), strings.HasSuffix(dir, "default/"):
		if strings.HasPrefix(base, "push-server") {
			return classSysconfig
		}
		return nothing
	case configName.MatchString(base):
		return classConfig
	case base == ".env", strings.HasPrefix(base, ".env_"), strings.HasPrefix(base, ".env."), strings.HasSuffix(base, ".env"):
		if strings.HasSuffix(base, ".example") || strings.HasSuffix(base, ".dist") {
			return nothing
		}
		return classEnv
	case composeName.MatchString(base):
		return classCompose
	case base == "Chart.yaml", strings.HasSuffix(base, ".yaml"), strings.HasSuffix(base, ".yml"):
		return classManifest
	case redisName.MatchString(base):
		return classRedis
	case strings.HasSuffix(base, ".conf"):
		return classNginx
	}
	return nothing
}

func (s *survey) readHosts(_ string, text []byte) {
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		for _, name := range fields[min(1, len(fields)):] {
			if _, ok := s.hosts[name]; !ok {
				s.hosts[name] = fields[0]
			}
		}
	}
}

var centos7 = regexp.MustCompile(`(?m)(release 7\.|^VERSION_ID="?7)`)

func (s *survey) readRelease(name string, text []byte) {
	if at := centos7.FindIndex(text); at != nil && s.centos7.file == "" {
		s.centos7 = place{name, 1 + bytes.Count(text[:at[0]], []byte("\n"))}
	}
}

func (s *survey) readLogrotate(name string, text []byte) {
	daily := 0
	for i, line := range strings.Split(string(text), "\n") {
		switch line = strings.TrimSpace(line); {
		case line == "daily":
			daily = i + 1
		case strings.Contains(line, "push-server") && regexp.MustCompile(`\b(restart|stop|reload|kill)\b`).MatchString(line) && !strings.HasPrefix(line, "#"):
			often := "whenever logs are rotated"
			if daily > 0 {
				often = "every night"
			}
			s.wrong(place{name, i + 1}, "the push server is restarted "+often+": "+line,
				"everybody is disconnected at once, and what is published while they return is lost by the original",
				"remove this file together with the original: pushgate logs to the journal and needs no restart")
			s.rollback[name] = text
		}
	}
}
