package adopt

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"pushgate/internal/adopt/phparray"
)

// portal is what one portal's settings say about the push server.
type portal struct {
	at      place // of section pull, or of the dump
	php     bool  // the options are in .settings.php, and hold unless the database has others
	named   bool  // the operator has named it, so it is one that pushgate is to serve
	options map[string]secret
}

// pullOptions are the options of module pull, with those that pushgate has a say in marked by true.
var pullOptions = []string{
	"nginx", "nginx_version", "server_mode", "path_to_publish", "path_to_publish_web", "path_to_publish_web_secure", "path_to_listener",
	"path_to_listener_secure", "path_to_modern_listener", "path_to_modern_listener_secure", "path_to_mobile_listener", "path_to_mobile_listener_secure",
	"path_to_websocket", "path_to_websocket_secure", "path_to_json_rpc", "signature_key", "signature_algo", "nginx_command_per_hit", "enable_protobuf",
	"limit_max_payload", "limit_max_messages_per_request", "limit_max_channels_per_request", "config_timestamp", "config_ttl", "websocket", "guest", "push",
	"nginx_headers", "host_id", "shared_server_address", "shared_server_key", "registered_on_shared_server", "nginx_error", "shared_worker_allowed",
}

// readPortal reads a .settings.php.
func (s *survey) readPortal(name string, text []byte) {
	if path.Base(name) == "pull.php" {
		s.wrong(place{file: name}, "this file can set options of module pull, and is not read", "this plan may not know the portal's options", "compare them with the plan by hand")
		return
	}
	root, err := phparray.Parse(text)
	if bad := (*phparray.Error)(nil); errors.As(err, &bad) {
		s.unreadable(place{name, bad.Line}, bad.Problem, "correct it (\"php -l\" shows the place), or write the array out; the portal reads the same file")
		return
	}
	s.sharedRedis(name, root)
	section, ok := root.Get("pull")
	if !ok {
		s.note(place{file: name}, "a portal, whose settings of the push server are in its database")
		return
	}
	values := section.Value
	if inner, ok := values.Get("value"); ok {
		values = inner.Value
	}
	p := portal{at: place{name, section.Line}, php: true, options: map[string]secret{}}
	for _, item := range values.Items {
		at := place{name, item.Line}
		switch {
		case !slices.Contains(pullOptions, item.Key):
			s.drop(at, "%q: an option that is unknown in module pull", item.Key)
		case item.Value.Kind != phparray.Scalar:
			s.wrong(at, fmt.Sprintf("the value of %q is not a literal", item.Key), "this plan does not know it", "write the value out, or compare it with the plan by hand")
		default:
			p.options[item.Key] = secret{item.Value.Text, at}
		}
	}
	s.note(p.at, "a portal with %d options of module pull", len(p.options))
	s.rollback[name] = text
	s.portals = append(s.portals, p)
}

// sharedRedis notes that the portal keeps its cache or its sessions in Redis, too.
func (s *survey) sharedRedis(file string, root phparray.Value) {
	for _, section := range []string{"cache", "session"} {
		item, ok := root.Get(section)
		if !ok {
			continue
		}
		if at, ok := mentions(item.Value, "redis"); ok {
			what := map[string]string{"cache": "its cache", "session": "its sessions"}[section]
			s.wrong(place{file, at}, "the portal keeps "+what+" in Redis",
				"if it is the push server's Redis, both share its memory: a large cache pushes messages out, and clearing it clears them",
				"a Redis of its own for pushgate")
			return
		}
	}
}

// mentions returns the line of a string that is a word, or begins with it.
func mentions(v phparray.Value, word string) (line int, ok bool) {
	if v.Kind == phparray.Scalar && strings.HasPrefix(strings.ToLower(v.Text), word) {
		return v.Line, true
	}
	for _, item := range v.Items {
		if line, ok := mentions(item.Value, word); ok {
			return line, true
		}
	}
	return 0, false
}

// tuple matches the values of one row in an INSERT statement: the module, the name, the value.
var tuple = regexp.MustCompile(`\(\s*'pull'\s*,\s*'((?:[^'\\]|\\.|'')*)'\s*,\s*(?:'((?:[^'\\]|\\.|'')*)'|NULL)`)

// readOptions reads a .settings.php that is elsewhere, or a dump of the rows of b_option: what
// "mysql -B" prints (the columns NAME and VALUE, or MODULE_ID, NAME and VALUE), or INSERT
// statements.
func (s *survey) readOptions(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("the dump of the options: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return fmt.Errorf("the dump of the options: %w", err)
	}
	if len(text) > maxFile {
		return fmt.Errorf("the dump of the options: %s has more than %d bytes: dump the rows of module pull only", name, maxFile)
	}
	if strings.HasSuffix(name, ".php") {
		before := len(s.portals)
		s.readPortal(name, text)
		for i := range s.portals[before:] {
			s.portals[before+i].named = true
		}
		return nil
	}
	p := portal{at: place{file: name}, named: true, options: map[string]secret{}}
	scanner := bufio.NewScanner(bytes.NewReader(text))
	scanner.Buffer(nil, maxFile+1)
	columns := []string{"NAME", "VALUE"}
	for line := 1; scanner.Scan(); line++ {
		at := place{name, line}
		row := strings.TrimRight(scanner.Text(), "\r")
		if strings.HasPrefix(strings.ToUpper(strings.TrimSpace(row)), "INSERT") || strings.HasPrefix(strings.TrimSpace(row), "(") {
			for _, match := range tuple.FindAllStringSubmatch(row, -1) {
				s.option(&p, unquoteSQL(match[1]), unquoteSQL(match[2]), at)
			}
			continue
		}
		fields := strings.Split(row, "\t")
		if slices.Contains(fields, "NAME") && slices.Contains(fields, "VALUE") {
			columns = fields
			continue
		}
		if row == "" || strings.HasPrefix(row, "--") {
			continue
		}
		n, v, m := slices.Index(columns, "NAME"), slices.Index(columns, "VALUE"), slices.Index(columns, "MODULE_ID")
		if len(columns) == 2 && len(fields) == 3 {
			n, v, m = 1, 2, 0
		}
		if len(fields) <= max(n, v) {
			s.unreadable(at, "this is not a row of b_option",
				`dump it with: mysql -B -e "SELECT NAME, VALUE FROM b_option WHERE MODULE_ID='pull'" DATABASE`)
			continue
		}
		if m < 0 || fields[m] == "pull" {
			s.option(&p, fields[n], fields[v], at)
		}
	}
	s.note(p.at, "a portal's database has %d options of module pull", len(p.options))
	s.portals = append(s.portals, p)
	return nil
}

func (s *survey) option(p *portal, name, value string, at place) {
	if !slices.Contains(pullOptions, name) {
		s.drop(at, "%q: an option that is unknown in module pull", name)
		return
	}
	p.options[name] = secret{value, at}
}

func unquoteSQL(text string) string {
	return strings.NewReplacer(`\\`, `\`, `\'`, `'`, `''`, `'`, `\"`, `"`, `\n`, "\n").Replace(text)
}

// judgePortals notes what is wrong with the portals' options.
func (s *survey) judgePortals() {
	signs := map[string]place{}
	for _, p := range s.portals {
		o := p.options
		if key := o["signature_key"]; key.value != "" {
			if before, ok := signs[key.value]; ok {
				s.wrong(key.at, "the portal signs with the same key as the one of "+before.file,
					"who administers one portal can read the messages of the other; pushgate serves both as one portal, as the original does",
					"a key for each: shared mode with client ids, docs/configuration.md, Many portals")
			}
			if signs[key.value] = key.at; len(signs) == 2 && len(s.keys) == 0 {
				s.wrong(key.at, "this portal signs with another key than the first one, and pushgate accepts both for either",
					"who administers one portal can read the messages of the other",
					"shared mode with client ids, docs/configuration.md, Many portals; or take the key out that is not of this push server's portal")
			}
			remedy := "the same key in both; the plan takes the portal's"
			if !s.speaksFor(p) {
				remedy = "the push server's key in the portal, if it is to use this push server. The plan takes the push server's alone: whoever can write a portal's settings could choose the other"
			}
			if len(s.keys) > 0 && !slices.ContainsFunc(s.keys, func(k secret) bool { return k.value == key.value }) {
				s.wrong(key.at, "the portal's signature_key is not the push server's, which is in "+s.keys[0].at.String(),
					"every subscriber of this portal is refused", remedy)
			}
		}
		if nginx := o["nginx"]; nginx.value != "" && nginx.value != "Y" {
			s.wrong(nginx.at, "the portal does not use its push server (option nginx is "+nginx.value+")", "nothing is published", "set it to Y")
		}
		if version := o["nginx_version"]; version.value == "1" || version.value == "2" {
			s.wrong(version.at, "the portal speaks to a server of version "+version.value, "pushgate speaks 3 (text), 4 (protobuf) and 5 (JSON-RPC)", "set nginx_version to 4")
		}
		if algo := o["signature_algo"]; algo.value != "" && algo.value != "sha1" {
			s.set("PUSHGATE_SIGNATURE_ALGO", algo.value, algo.at)
		}
		s.judgeAddresses(o)
	}
}

// speaksFor reports whether the key of a portal is to be accepted. On a machine, any user may have
// a portal, or a file like one; there the push server's own settings count, if they have a key.
func (s *survey) speaksFor(p portal) bool {
	theirs := p.options["signature_key"].value
	return s.kind != machine || p.named || len(s.keys) == 0 ||
		slices.ContainsFunc(s.keys, func(k secret) bool { return k.value == theirs })
}

// judgeAddresses notes what is wrong with the addresses that the portal calls itself, and hands
// out.
func (s *survey) judgeAddresses(o map[string]secret) {
	if publish := o["path_to_publish"]; publish.value != "" {
		u, err := url.Parse(publish.value)
		switch {
		case err != nil || u.Host == "":
			s.wrong(publish.at, "path_to_publish is not an address", "nothing is published", "see below")
		case s.kind != machine && s.direct(u.Hostname()) == nil:
			s.wrong(publish.at, "the portal posts through "+u.Hostname()+" ("+withoutPassword(publish.value)+"), which is not the push server",
				"the publisher sees the address of that server, not of the portal: either every post is refused, or everybody's is accepted",
				"the address of the publisher itself, see below")
		}
	}
	if rpc := o["path_to_json_rpc"]; rpc.value != "" {
		if strings.Contains(rpc.value, "#") {
			s.wrong(rpc.at, "path_to_json_rpc has a placeholder, which PHP does not replace", "in version 5 nothing is published", "an address that PHP can call, see below")
		} else if u, err := url.Parse(rpc.value); err == nil && !s.hasAPI && s.direct(u.Hostname()) == nil {
			s.wrong(rpc.at, "path_to_json_rpc is set, and nginx has no location for /bitrix/api/", "in version 5 nothing is published", "see below")
		}
	}
	for _, name := range []string{"path_to_mobile_listener", "path_to_mobile_listener_secure"} {
		listener := o[name]
		u, err := url.Parse(strings.ReplaceAll(listener.value, "#DOMAIN#", "domain"))
		if err != nil || u.Port() == "" || slices.Contains(s.nginx.ports, u.Port()) && s.kind == machine || s.publishes(u.Port()) {
			continue
		}
		s.wrong(listener.at, name+" names port "+u.Port()+", which nobody publishes", "the mobile app gets no connection", "the portal's own port, see below")
	}
}

// direct returns the process of the original that a host name leads to, nil if it is none.
func (s *survey) direct(host string) *process {
	for _, v := range s.services {
		if !slices.Contains(v.names, host) {
			continue
		}
		for i := range s.processes {
			if s.processes[i].name == v.name {
				return &s.processes[i]
			}
		}
	}
	for i := range s.processes {
		if s.kind == kubernetes && strings.HasPrefix(host, s.processes[i].name) && s.processes[i].name != "" {
			return &s.processes[i]
		}
	}
	return nil
}

// publishes reports whether a service of compose publishes a port.
func (s *survey) publishes(port string) bool {
	return slices.ContainsFunc(s.services, func(v service) bool {
		return slices.ContainsFunc(v.ports, func(published string) bool {
			parts := strings.Split(published, ":")
			return len(parts) > 1 && parts[len(parts)-2] == port || published == port
		})
	})
}

// local reports whether an address is of the machine itself.
func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
