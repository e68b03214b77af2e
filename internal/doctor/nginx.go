package doctor

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"pushgate/internal/adopt/nginxconf"
)

var nginxIDs = []string{"nginx.config", "nginx.websockets", "nginx.polls", "nginx.rest", "nginx.upgrade", "nginx.http", "nginx.timeout", "nginx.buffering",
	"nginx.next", "nginx.repeat", "nginx.publish", "nginx.body", "nginx.log", "nginx.iphash", "nginx.connections", "nginx.descriptors", "nginx.upstreams"}

const (
	maxServers      = 1000
	fewConnections  = 4096 // of a worker, two for each client
	usualConnection = 512  // connections of a worker
)

// judgeNginx judges the configuration: where each path of a push server leads, and how.
func (e *exam) judgeNginx(ctx context.Context, s *sheet) {
	if e.nginx == nil {
		s.unknown(e.nginxWhy, e.nginxText, nginxIDs...)
		return
	}
	c := e.nginx
	s.add("nginx.config", OK, c.names[0])
	for _, m := range c.missing {
		s.add("nginx.config", Warning, "include "+m)
	}
	r := c.routes
	if len(r.polls)+len(r.websockets) == 0 {
		s.add("nginx.websockets", Error, "/bitrix/subws/")
		s.add("nginx.polls", Error, "/bitrix/sub/")
		s.unknown(noRoutes, c.names[0], nginxIDs...)
		return
	}
	has := func(id string, locations []*block, bad State, path string) {
		if len(locations) == 0 {
			s.add(id, bad, path)
		}
		for _, l := range locations {
			s.add(id, OK, l.String())
		}
	}
	has("nginx.websockets", r.websockets, Error, "/bitrix/subws/")
	has("nginx.polls", r.polls, Error, "/bitrix/sub/")
	has("nginx.rest", r.rest, Warning, "/bitrix/rest/")
	version := func(l *block, bad State) {
		version := l.value("proxy_http_version", c.http)
		s.check("nginx.http", version == "1.0", bad, fmt.Sprintf("%s: proxy_http_version %s", l, version))
	}
	for _, l := range r.websockets {
		e.upgrade(s, l)
		version(l, Error)
	}
	for _, l := range r.polls {
		version(l, Warning)
	}
	for _, l := range r.subscribers() {
		e.subscriberLocation(s, l)
	}
	for _, l := range r.publishers() {
		s.check("nginx.repeat", slices.Contains(words(l.effective("proxy_next_upstream")), "non_idempotent"), Warning, l.String())
		size, ok := bytesOf(l.value("client_max_body_size", "1m"))
		if ok && e.faults == nil {
			s.check("nginx.body", size > 0 && size < e.settings.MaxPayload, Warning, fmt.Sprintf("%s: client_max_body_size %s", l, l.value("client_max_body_size", "1m")))
		}
	}
	s.unknown(noRoutes, c.names[0], "nginx.repeat", "nginx.body")
	publicPosts(s, r.publish)
	e.connections(s)
	e.upstreams(ctx, s)
}

// routes are the locations of all servers that nginx chooses for the paths of a push server.
type routes struct{ websockets, polls, rest, publish, api []*block }

func (c *conf) findRoutes() (r routes) {
	to := func(server *block, at, word string) []*block {
		l := c.locate(server, at)
		if l == nil || len(l.all("proxy_pass")) == 0 || !strings.Contains(l.pattern(), word) {
			return nil
		}
		return []*block{l}
	}
	servers := c.byName["server"]
	for _, server := range servers[:min(len(servers), maxServers)] {
		if server.parent.name == "upstream" {
			continue
		}
		r.websockets = append(r.websockets, to(server, "/bitrix/subws/", "sub")...)
		r.polls = append(r.polls, to(server, "/bitrix/sub/", "sub")...)
		r.rest = append(r.rest, to(server, "/bitrix/rest/", "rest")...)
		r.publish = append(r.publish, to(server, "/bitrix/pub/", "pub")...)
		r.api = append(r.api, to(server, "/bitrix/api/", "api")...)
	}
	return r
}

// subscribers returns the locations of subscribers; one of both transports is there twice, which
// does no harm: evidence is printed once.
func (r routes) subscribers() []*block { return slices.Concat(r.websockets, r.polls) }

func (r routes) publishers() []*block { return slices.Concat(r.publish, r.rest, r.api) }

// words returns all arguments of directives.
func words(all []*block) (w []string) {
	for _, d := range all {
		w = append(w, d.args...)
	}
	return w
}

// upgrade checks that a location passes the upgrade of a WebSocket on.
func (e *exam) upgrade(s *sheet, l *block) {
	set := map[string]string{}
	for _, d := range l.effective("proxy_set_header") {
		set[strings.ToLower(d.arg(0))] = d.arg(1)
	}
	upgrade, connection := set["upgrade"], set["connection"]
	wrong := upgrade == "" || connection == "" || strings.EqualFold(connection, "close") || strings.EqualFold(connection, "keep-alive")
	if name, ok := strings.CutPrefix(connection, "$"); ok && name != "http_connection" {
		wrong = wrong || !e.nginx.mapHas(name, "upgrade")
	}
	s.check("nginx.upgrade", wrong, Error, fmt.Sprintf("%s: Upgrade %q, Connection %q", l, upgrade, connection))
}

// mapHas reports whether a map makes a value of a variable.
func (c *conf) mapHas(variable, value string) bool {
	for _, m := range c.byName["map"] {
		if m.arg(1) != "$"+variable {
			continue
		}
		for _, entry := range m.inside {
			if strings.EqualFold(entry.arg(0), value) {
				return true
			}
		}
	}
	return false
}

// secretsInLog matches the variables by which a log has whole addresses, with their signatures.
var secretsInLog = regexp.MustCompile(`\$\{?(request|request_uri|args|query_string|http_referer|arg_[a-z_]+)\b`)

// subscriberLocation checks how a location passes subscribers on.
func (e *exam) subscriberLocation(s *sheet, l *block) {
	is := func(name, value string) string { return fmt.Sprintf("%s: %s %s", l, name, value) }
	text := l.value("proxy_read_timeout", "60s")
	if timeout, ok := duration(text); ok {
		// The edge answers a poll after 40 s, unless it is set otherwise, and pings WebSockets.
		s.check("nginx.timeout", timeout <= 40*time.Second, Error, is("proxy_read_timeout", text))
	}
	buffering := l.value("proxy_buffering", "on")
	s.check("nginx.buffering", buffering != "off", Warning, is("proxy_buffering", buffering))
	next := words(l.effective("proxy_next_upstream"))
	s.check("nginx.next", !slices.Contains(next, "http_503"), Warning, is("proxy_next_upstream", strings.Join(next, " ")))
	logs := l.effective("access_log")
	if len(logs) == 0 {
		s.add("nginx.log", Warning, is("access_log", "(combined)"))
	}
	for _, d := range logs {
		s.check("nginx.log", d.arg(0) != "off" && secretsInLog.MatchString(e.nginx.format(d.arg(1))), Warning, d.String())
	}
}

// format returns a log format.
func (c *conf) format(name string) string {
	for _, f := range c.byName["log_format"] {
		if f.arg(0) == name && name != "" {
			return strings.Join(f.args[1:], "")
		}
	}
	if name == "" || name == "combined" || strings.Contains(name, "=") {
		return "$request"
	}
	return ""
}

// publicPosts checks that others do not reach the location of the portal's posts.
func publicPosts(s *sheet, locations []*block) {
	s.add("nginx.publish", OK)
	for _, l := range locations {
		server := l.parent
		for server.name != "server" {
			server = server.parent
		}
		guarded := len(l.effective("deny"))+len(l.effective("internal"))+len(l.effective("auth_basic")) > 0
		open := len(server.all("listen")) == 0
		for _, listen := range server.all("listen") {
			open = open || nginxconf.Reachable(listen.arg(0))
		}
		if open && !guarded {
			s.add("nginx.publish", Error, l.String())
		}
	}
}

// connections checks how many clients nginx can hold.
func (e *exam) connections(s *sheet) {
	each, workers, files := e.nginxSizes()
	clients := 0.0
	for _, p := range e.processes {
		clients += p.metrics["pushgate_connections"]
	}
	saw := fmt.Sprintf("worker_connections %d, worker_processes %d, clients %.0f", each, workers, clients)
	state := OK
	switch {
	case clients*2 > float64(each)*float64(workers)*0.8:
		state = Error
	case each < fewConnections:
		state = Warning
	}
	s.add("nginx.connections", state, saw)
	saw = fmt.Sprintf("worker_connections %d, worker_rlimit_nofile %d", each, files)
	if files == 0 {
		if files = e.workerFiles(); files == 0 {
			s.unknown(noWorker, saw, "nginx.descriptors")
			return
		}
		saw = fmt.Sprintf("worker_connections %d, Max open files %d", each, files)
	}
	s.check("nginx.descriptors", files < each, Warning, saw)
}

// nginxSizes returns how many connections a worker of nginx holds, how many workers there are, and
// how many files a worker may open; 0 if that is not set.
func (e *exam) nginxSizes() (connections, workers, files int) {
	number := func(name string, otherwise int) int {
		all := e.nginx.byName[name]
		if len(all) == 0 {
			return otherwise
		}
		n, err := strconv.Atoi(all[0].arg(0))
		if err != nil { // auto
			return runtime.NumCPU()
		}
		return n
	}
	return number("worker_connections", usualConnection), number("worker_processes", 1), number("worker_rlimit_nofile", 0)
}

// workerFiles returns how many files a worker that runs may open; 0 if none is known.
func (e *exam) workerFiles() int {
	for _, p := range e.programs {
		if p.name != "nginx" || !strings.Contains(p.command, "worker process") {
			continue
		}
		text, _ := e.root.read("proc/" + p.pid + "/limits")
		for line := range strings.Lines(text) {
			if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
				if fields := strings.Fields(rest); len(fields) > 0 {
					n, _ := strconv.Atoi(fields[0])
					return n
				}
			}
		}
	}
	return 0
}

// duration reads a time as nginx writes it, such as 60, 60s, 12h or 1h30m.
func duration(text string) (time.Duration, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Duration(n) * time.Second, true
	}
	total := time.Duration(0)
	if days, rest, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil {
			return 0, false
		}
		total, text = time.Duration(n)*24*time.Hour, rest
		if text == "" {
			return total, true
		}
	}
	d, err := time.ParseDuration(strings.ReplaceAll(text, " ", ""))
	return total + d, err == nil
}

// bytesOf reads a size as nginx writes it, such as 4m.
func bytesOf(text string) (int64, bool) {
	unit := int64(1)
	lower := strings.ToLower(text)
	for suffix, size := range map[string]int64{"k": 1 << 10, "m": 1 << 20, "g": 1 << 30} {
		if number, ok := strings.CutSuffix(lower, suffix); ok {
			lower, unit = number, size
		}
	}
	n, err := strconv.ParseInt(lower, 10, 64)
	return n * unit, err == nil
}
