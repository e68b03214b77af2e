package adopt

import (
	"errors"
	"fmt"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"pushgate/internal/adopt/nginxconf"
)

// nginxSurvey is what nginx's configuration says of the push server.
type nginxSurvey struct {
	files     map[string][]nginxconf.Directive
	locations []location
	upstreams []upstream
	ports     []string // of listen directives
	included  int      // files that directives have included, as often as they have
	open      []place  // listen directives for the portal's posts that are not restricted
}

// location is a location, or a path of an Ingress.
type location struct {
	at        place
	path      string
	pass      string // where it passes requests on
	public    bool   // some server that has it is reached from elsewhere
	guarded   bool   // allow and deny restrict it
	rewritten bool
}

// upstream is an upstream block.
type upstream struct {
	at      place
	name    string
	servers []string
	ipHash  place
}

// blocks matches what only nginx's configuration has.
var blocks = regexp.MustCompile(`(?m)^\s*(location|upstream|server|http|events)\b[^;\n]*\{`)

// readNginx remembers a file: which server has a location is known when all have been read.
func (s *survey) readNginx(name string, text []byte) {
	if !strings.Contains(name, "nginx") && !blocks.Match(text) {
		return
	}
	directives, err := nginxconf.Parse(text)
	if bad := (*nginxconf.Error)(nil); errors.As(err, &bad) {
		if blocks.Match(text) {
			s.wrong(place{name, bad.Line}, "nginx's configuration cannot be read: "+bad.Problem, "this plan does not know what is in it",
				"correct it (\"nginx -t\" shows the place), and run adopt again")
		}
		return
	}
	if s.nginx.files == nil {
		s.nginx.files = map[string][]nginxconf.Directive{}
	}
	for _, other := range sortedKeys(s.nginx.files) {
		if reflect.DeepEqual(s.nginx.files[other], directives) {
			return // a link to it, as the vendor's machines have, or a copy
		}
	}
	s.nginx.files[name] = directives
}

// ourPath matches the part of a location that belongs to a push server.
var ourPath = regexp.MustCompile(`/bitrix/(pubweb|pub|subws|sub|sse|rest|api)\b|/bitrix/\([a-z|]+\)|/server-stat|^/(push-server-(sub|pub)|pub|sub|subws)\b`)

// nginxServers goes through all files, when they have been read.
func (s *survey) nginxServers() {
	seen := map[string]bool{}
	for _, name := range sortedKeys(s.nginx.files) {
		for _, server := range servers(s.nginx.files[name]) {
			s.listens(name, server)
			s.inServer(name, server.Block, server, seen, maxDepth)
		}
	}
	for _, name := range sortedKeys(s.nginx.files) {
		s.upstreams(name, s.nginx.files[name])
		if !seen[name] { // nobody includes it, as far as can be seen: it may be public
			s.inServer(name, s.nginx.files[name], nginxconf.Directive{}, seen, maxDepth)
		}
	}
}

// servers returns the server blocks of a file.
func servers(directives []nginxconf.Directive) (all []nginxconf.Directive) {
	for _, d := range directives {
		switch d.Name {
		case "server":
			if d.Block != nil {
				all = append(all, d)
			}
		case "http":
			all = append(all, servers(d.Block)...)
		}
	}
	return all
}

func (s *survey) listens(file string, server nginxconf.Directive) {
	for _, d := range server.Block {
		if d.Name != "listen" {
			continue
		}
		s.nginx.ports = append(s.nginx.ports, port(d.Arg(0)))
		if port(d.Arg(0)) == "8895" && nginxconf.Reachable(d.Arg(0)) {
			s.wrong(place{file, d.Line}, "the portal's own address for posts listens on every interface: listen "+strings.Join(d.Args, " "),
				"everybody who reaches this port can post as the portal; only a firewall prevents it",
				"listen 127.0.0.1:8895, or the address in the network of the portal's machines")
			s.nginx.open = append(s.nginx.open, place{file, d.Line})
			s.touch(file)
		}
	}
}

// port returns the port of a listen directive.
func port(address string) string {
	if i := strings.LastIndexByte(address, ':'); i >= 0 && !strings.HasSuffix(address, "]") {
		return address[i+1:]
	}
	if regexp.MustCompile(`^\d+$`).MatchString(address) {
		return address
	}
	return "80"
}

// public reports whether a server is reached by browsers. The portal's own address is not.
func public(server nginxconf.Directive) bool {
	listens := false
	for _, d := range server.Block {
		if d.Name == "listen" {
			listens = true
			if nginxconf.Reachable(d.Arg(0)) && port(d.Arg(0)) != "8895" {
				return true
			}
		}
	}
	return !listens
}

// inServer notes the locations of directives that stand in a server, be it by includes.
func (s *survey) inServer(file string, directives []nginxconf.Directive, server nginxconf.Directive, seen map[string]bool, depth int) {
	if depth == 0 {
		return
	}
	for _, d := range directives {
		switch d.Name {
		case "location":
			if match := ourPath.FindString(d.Arg(len(d.Args) - 1)); match != "" {
				s.location(file, d, match, public(server))
			}
			s.inServer(file, d.Block, server, seen, depth-1)
		case "include":
			for _, included := range s.included(file, d.Arg(0)) {
				if s.nginx.included++; s.nginx.included == maxEntries {
					s.wrong(place{file, d.Line}, "nginx's files include one another again and again", "this plan does not know all of what is in them", "compare it with them by hand")
				}
				if s.nginx.included >= maxEntries {
					return
				}
				seen[included] = true
				s.inServer(included, s.nginx.files[included], server, seen, depth-1)
			}
		}
	}
}

// included returns the files that an include directive means: of those that were read, the ones
// whose name ends as it says, in the same configuration.
func (s *survey) included(from, pattern string) (all []string) {
	pattern = strings.TrimPrefix(pattern, "/")
	segments := strings.Count(pattern, "/") + 1
	for _, name := range sortedKeys(s.nginx.files) {
		parts := strings.Split(name, "/")
		for n := min(segments, len(parts)); n > 0; n-- {
			tail := strings.Join(parts[len(parts)-n:], "/")
			short := strings.Join(strings.Split(pattern, "/")[segments-n:], "/")
			if ok, _ := path.Match(short, tail); ok && (n == segments || n > 1 || segments == 2) && name != from {
				all = append(all, name)
				break
			}
		}
	}
	return all
}

// location notes a location once, and whether any server that has it is public.
func (s *survey) location(file string, d nginxconf.Directive, match string, isPublic bool) {
	at := place{file, d.Line}
	for i := range s.nginx.locations {
		if l := &s.nginx.locations[i]; l.at == at {
			l.public = l.public || isPublic
			return
		}
	}
	l := location{at: at, path: match, public: isPublic}
	for _, inside := range d.Block {
		switch inside.Name {
		case "proxy_pass":
			l.pass = inside.Arg(0)
		case "deny", "allow", "internal":
			l.guarded = true
		case "rewrite":
			l.rewritten = true
		}
	}
	s.nginx.locations = append(s.nginx.locations, l)
	s.note(at, "nginx passes %s to %s", match, l.pass)
}

func (s *survey) upstreams(file string, directives []nginxconf.Directive) {
	for _, d := range directives {
		if d.Name == "http" {
			s.upstreams(file, d.Block)
		}
		if d.Name != "upstream" {
			continue
		}
		u := upstream{at: place{file, d.Line}, name: d.Arg(0)}
		for _, inside := range d.Block {
			switch inside.Name {
			case "server":
				u.servers = append(u.servers, inside.Arg(0))
			case "ip_hash":
				u.ipHash = place{file, inside.Line}
			}
		}
		s.nginx.upstreams = append(s.nginx.upstreams, u)
	}
}

// passes returns where a location passes requests on: host:port, several for an upstream.
func (s *survey) passes(l location) []string {
	host := strings.TrimPrefix(strings.TrimPrefix(l.pass, "http://"), "https://")
	host, _, _ = strings.Cut(host, "/")
	for _, u := range s.nginx.upstreams {
		if u.name == host {
			return u.servers
		}
	}
	if host == "" {
		return nil
	}
	return []string{host}
}

// judgeNginx notes what is wrong with the locations and the upstreams.
func (s *survey) judgeNginx() {
	if len(s.nginx.locations) == 0 {
		return
	}
	have := map[string]bool{}
	for _, l := range s.nginx.locations {
		for _, name := range []string{"/bitrix/subws", "/bitrix/sub", "/bitrix/rest", "/bitrix/pubweb", "/bitrix/api", "/bitrix/pub"} {
			if clean := strings.TrimSuffix(l.path, "/"); clean == name || strings.Contains(l.path, "(") && strings.Contains(l.path, strings.TrimPrefix(name, "/bitrix/")) {
				have[name] = have[name] || l.public
			}
		}
		switch {
		case strings.TrimSuffix(l.path, "/") == "/bitrix/pub" && l.public && !l.guarded:
			s.wrong(l.at, "/bitrix/pub/ is public", "everybody on the internet can post as the portal, to every user whose channel is known",
				"remove it: the portal posts to the publisher directly (see below)")
			s.touch(l.at.file)
		case strings.HasPrefix(l.path, "/push-server-") && !l.rewritten && !strings.HasSuffix(l.pass, "/"):
			s.wrong(l.at, "nginx passes "+l.path+" on unchanged", "neither the original nor pushgate serves such a path: no browser gets a connection by it",
				"the locations that this plan writes, see below")
			s.touch(l.at.file)
		}
	}
	for _, name := range []string{"/bitrix/sub", "/bitrix/subws", "/bitrix/rest"} {
		if !have[name] && !(name == "/bitrix/rest" && have["/bitrix/pubweb"]) {
			s.wrong(s.nginx.locations[0].at, "there is no public location for "+name+"/", missing[name], "the locations that this plan writes, see below")
			s.missing = append(s.missing, name)
		}
	}
	for _, u := range s.nginx.upstreams {
		if u.ipHash.line > 0 && s.pushUpstream(u) {
			s.wrong(u.ipHash, "upstream "+u.name+" chooses by address (ip_hash)", "an office behind one address is served by one process, whatever it has to do",
				"least_conn: pushgate serves every client from any process")
			s.touch(u.at.file)
		}
	}
	s.hasAPI = have["/bitrix/api"]
}

var missing = map[string]string{
	"/bitrix/sub":   "long polls get no answer",
	"/bitrix/subws": "there are no WebSockets",
	"/bitrix/rest":  "what users write to one another is lost while they are on long polls",
}

// pushUpstream reports whether a location of the push server uses an upstream.
func (s *survey) pushUpstream(u upstream) bool {
	return slices.ContainsFunc(s.nginx.locations, func(l location) bool {
		return strings.HasPrefix(l.pass, fmt.Sprintf("http://%s", u.name)) || strings.HasPrefix(l.pass, "https://"+u.name)
	})
}

// touch keeps a file that the plan changes, for the way back.
func (s *survey) touch(name string) {
	if s.rollback[name] == nil {
		s.rollback[name], _ = s.load(name)
	}
}
