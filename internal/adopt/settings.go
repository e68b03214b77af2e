package adopt

import (
	"errors"
	"fmt"
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"pushgate/internal/adopt/jsonkeys"
	"pushgate/internal/adopt/shellvars"
	"pushgate/internal/config"
	"pushgate/internal/original"
)

// readEnv remembers what a compose file may refer to. Lines that are not understood matter only
// where the original reads them.
func (s *survey) readEnv(name string, text []byte) {
	s.envFiles[name], s.badEnv[name] = shellvars.Parse(text)
}

// usesEnv notes what is wrong with an env file, now that the original is found to read it.
func (s *survey) usesEnv(name string) {
	for _, err := range s.badEnv[name] {
		s.unreadable(place{name, err.Line}, err.Problem, "write it as NAME=VALUE, with quotation marks around a value with white space")
	}
	delete(s.badEnv, name)
}

// scripted are the variables of the original's control script that say how it works, not what the
// push server does.
var scripted = []string{"HG_DIR", "CFG_DIR", "VAR_DIR", "TMPL_SUB", "TMPL_PUB", "PID_SUB", "PID_PUB", "USER", "GROUP", "RUN_DIR", "LOG_DIR", "NODE_BIN"}

// Defaults of the original's control script.
const (
	defaultBaseSub, defaultIDSub = "801", "5"
	defaultBasePub, defaultIDPub = "901", "1"
)

// readSysconfig reads the settings of the control script that starts several processes.
func (s *survey) readSysconfig(name string, text []byte) {
	vars, bad := shellvars.Parse(text)
	for _, err := range bad {
		s.unreadable(place{name, err.Line}, err.Problem, "write it as NAME=VALUE, with quotation marks around a value with white space")
	}
	values, lines := map[string]string{"BASE_SUB": defaultBaseSub, "ID_SUB": defaultIDSub, "BASE_PUB": defaultBasePub, "ID_PUB": defaultIDPub}, map[string]place{}
	var environ []string
	for _, v := range vars {
		lines[v.Name] = place{name, v.Line}
		switch {
		case slices.Contains(scripted, v.Name), v.Name == "WS_PORT":
		case v.Value == "": // as if it were not set; the script's own templates have such lines
		case v.Name == "IP_LIST", v.Name == "MAX_MEMORY":
			s.drop(place{name, v.Line}, "%s: %s", v.Name, droppedVariables[v.Name])
		case v.Name == "WS_HOST", strings.HasPrefix(v.Name, "BASE_"), strings.HasPrefix(v.Name, "ID_"):
			values[v.Name] = v.Value
		default:
			environ = append(environ, v.Name+"="+v.Value)
			if !original.Known(v.Name) {
				s.drop(place{name, v.Line}, "%s: unknown; nothing of pushgate corresponds to it", v.Name)
			}
		}
	}
	s.translate(place{file: name}, lines, environ)
	for _, c := range []struct {
		role             original.Role
		theirs, base, id string
	}{{original.Edge, "sub", "BASE_SUB", "ID_SUB"}, {original.Publisher, "pub", "BASE_PUB", "ID_PUB"}} {
		at := place{name, max(lines[c.base].line, lines[c.id].line)}
		ports, err := original.Ports(values[c.base], values[c.id])
		if err != nil {
			s.unreadable(at, fmt.Sprintf("%s and %s make no ports: %v", c.base, c.id, err), "BASE_SUB=801 and ID_SUB=5 are the ports 8010 to 8015")
			continue
		}
		s.processes = append(s.processes, process{role: c.role, host: values["WS_HOST"], ports: ports, at: at})
		s.note(at, "%d %s of the original (%s) on %s", len(ports), plural(len(ports), c.role.String(), c.role.String()+"s"), c.theirs, portList(ports))
	}
	s.rollback[name] = text
}

var droppedVariables = map[string]string{
	"IP_LIST":    "the clients whose requests the original logs. pushgate has no such list; who may post is PUSHGATE_PUBLISH_ALLOW",
	"MAX_MEMORY": "the heap of Node.js. The units of pushgate have limits of their own",
}

// translate translates variables of the original. What is wrong with them is a fault where the
// variable stands, or else at def.
func (s *survey) translate(def place, at map[string]place, environ []string) original.Settings {
	got, err := original.Translate(environ)
	var faults config.Faults
	if errors.As(err, &faults) {
		for _, f := range faults {
			where, ok := at[f.Variable]
			if !ok {
				where = def
			}
			s.wrong(where, f.Variable+": "+f.Problem, "pushgate does not start with it", f.Hint)
		}
	}
	for _, name := range []string{"SECURITY_KEY", "PUSH_SECURITY_KEY", "PUSH_SERVER_KEY"} {
		for _, entry := range environ {
			if value, ok := strings.CutPrefix(entry, name+"="); ok && value != "" {
				s.key(value, at[name])
			}
		}
	}
	return got
}

// key notes a signature key of the original.
func (s *survey) key(value string, at place) {
	if slices.ContainsFunc(s.keys, func(k secret) bool { return k.at == at }) {
		return
	}
	s.note(at, "a signature key of %d bytes, which is not shown", len(value))
	s.keys = append(s.keys, secret{value, at})
}

// carried are the keys of config.json that pushgate has, too: its variable and default.
var carried = map[string]struct{ name, fallback string }{
	"limits.maxPayload":            {"MAX_PAYLOAD", "1048576"},
	"limits.maxMessagesPerRequest": {"MAX_MESSAGES", "100"},
	"limits.maxChannelsPerRequest": {"MAX_CHANNELS", "100"},
	"limits.maxConnPerChannel":     {"MAX_CONNECTIONS_PER_CHANNEL", "100"},
	"security.algo":                {"SIGNATURE_ALGO", "sha1"},
}

// silent are the keys of config.json that pushgate needs no counterpart for.
var silent = []string{"name", "backlog", "publishMode", "clusterMode", "processUniqueId", "dataDir", "storage.type", "storage.socket", "storage.host",
	"storage.port", "storage.onlineTTL", "storage.onlineTLL", "storage.onlineDelta", "storage.statTLLMsec", "storage.statDeltaMsec", "debug.folderName",
	"debug.logMaxSize", "debug.trustProxy", "hostname", "port", "routes.sub", "routes.pub", "routes.rest", "routes.stat"}

// reasons are the keys of config.json that are not carried over, with the reason.
var reasons = map[string]string{
	"debug.ip":                    "the clients whose requests the original logs; pushgate has no such list",
	"debug.testConnectionKey":     "pushgate logs no client's request",
	"limits.maxRequestsPerSecond": "the original does not implement it; pushgate does, for each portal (limit rate in the file of PUSHGATE_PORTALS)",
	"clientMessageTypes":          "pushgate does not restrict what clients may send to one another by type; it refuses the portal's module",
	"duplicatePub":                "\"pushgate mirror\" sends posts to a second server",
	"cloudMode":                   "portals that are told apart by a client id are listed in the file of PUSHGATE_PORTALS",
	"trustClients":                "portals that are told apart by a client id are listed in the file of PUSHGATE_PORTALS",
	"licenseServer":               "licences are listed in the file of PUSHGATE_PORTALS",
	"licenseStorage":              "licences are listed in the file of PUSHGATE_PORTALS",
	"ssl":                         "TLS belongs into nginx: edges and publishers do not speak it",
	"path":                        "write PUSHGATE_LISTEN=unix:/path instead",
	"routes.register":             "pushgate serves /register-client/ where there is a file of PUSHGATE_PORTALS",
	"routes.systemctl":            "pushgate has no commands over HTTP",
}

// paths of config.json's routes that pushgate serves.
var routes = map[string][]string{
	"sub":  original.SubPaths,
	"pub":  original.PubPaths,
	"rest": original.RestPaths,
	"stat": {"/server-stat"},
}

// originals matches what a config.json of the original has.
var originals = regexp.MustCompile(`"(servers|routes|storage|publishMode|clusterMode)"`)

// readConfig reads a config.json of the original.
func (s *survey) readConfig(name string, text []byte) {
	if strings.Contains(name, "__PORT__") {
		return
	}
	entries, err := jsonkeys.Parse(text)
	if bad := (*jsonkeys.Error)(nil); errors.As(err, &bad) {
		if !strings.Contains(name, "push") && !originals.Match(text) {
			return // a config.json of something else
		}
		s.unreadable(place{name, bad.Line}, bad.Problem,
			"correct it (\"node -p 'require(\\\"./"+path.Base(name)+"\\\")'\" in its directory shows the place), or move it away if the original does not use it")
		return
	}
	values := map[string]jsonkeys.Entry{}
	for _, e := range entries {
		values[e.Path] = e
	}
	if _, ok := values["servers.0.port"]; !ok {
		if _, ok := values["servers.0.path"]; !ok {
			return // a config.json of something else
		}
	}
	role := original.Edge
	if values["publishMode"].Value == "true" || values["servers.0.routes.pub"].Value != "" && values["servers.0.routes.sub"].Value == "" {
		role = original.Publisher
	} else if values["servers.0.routes.pub"].Value != "" {
		role = original.Both
	}
	s.rollback[name] = text
	dropped := map[string]bool{}
	for _, e := range entries {
		s.configEntry(name, e, dropped)
	}
	port := values["servers.0.port"]
	if n, err := strconv.ParseUint(port.Value, 10, 16); err == nil && n > 0 {
		at := place{name, port.Line}
		s.note(at, "the %s of the original on %s", role, net.JoinHostPort(values["servers.0.hostname"].Value, port.Value))
		s.processes = append(s.processes, process{role: role, host: values["servers.0.hostname"].Value, ports: []int{int(n)}, at: at})
	}
}

// configEntry judges one key of config.json. Each reason is given once for a file.
func (s *survey) configEntry(file string, e jsonkeys.Entry, dropped map[string]bool) {
	at := place{file, e.Line}
	key := e.Path
	if rest, ok := strings.CutPrefix(key, "servers."); ok {
		_, key, _ = strings.Cut(rest, ".")
	}
	if route, ok := strings.CutPrefix(key, "routes."); ok && routes[route] != nil && !slices.Contains(routes[route], strings.TrimSuffix(e.Value, "/")) {
		s.wrong(at, fmt.Sprintf("route %s is %q, a path that pushgate does not serve", route, e.Value), "what calls it would get 404",
			"let nginx rewrite it to "+routes[route][0]+"/, or change it in the portal's options")
		return
	}
	if c, ok := carried[key]; ok {
		if e.Value != c.fallback {
			s.set(config.Prefix+c.name, e.Value, at)
		}
		return
	}
	switch key {
	case "security.key":
		s.key(e.Value, at)
		return
	case "storage.messageTTL", "storage.messageTLL":
		s.lifetime(key, e.Value, at)
		return
	case "storage.channelTTL", "storage.channelTLL":
		if e.Value != "86400" {
			s.drop(at, "%s: a channel of pushgate lives as long as its messages", key)
		}
		return
	}
	if slices.Contains(silent, key) {
		return
	}
	for prefix := key; prefix != "" && prefix != "."; prefix = parent(prefix) {
		if why, ok := reasons[prefix]; ok {
			if !dropped[prefix] && e.Value != "false" {
				s.drop(at, "%s: %s", prefix, why)
			}
			dropped[prefix] = true
			return
		}
	}
	s.drop(at, "%s: unknown; the original ignores it, and nothing of pushgate corresponds to it", key)
}

func parent(key string) string {
	i := strings.LastIndexByte(key, '.')
	return key[:max(i, 0)]
}

// lifetime carries over how long messages live.
func (s *survey) lifetime(key, value string, at place) {
	const day = 86400
	seconds, err := strconv.Atoi(value)
	switch {
	case err != nil || seconds <= 0:
		s.drop(at, "%s: it is not a number of seconds", key)
		return
	case strings.HasSuffix(key, "TLL") && seconds != day:
		s.drop(at, "%s: the name is misspelt, so the original ignores it and messages live for %d s. The plan takes what was meant", key, day)
	case seconds > day:
		s.drop(at, "%s: messages live for 24 h at most in pushgate", key)
	}
	if seconds < day {
		s.set(config.Prefix+"TTL_RULES", "im_startWriting=2m,online_*=2m,*="+(time.Duration(seconds)*time.Second).String(), at)
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// portList returns ports as a sentence has them.
func portList(ports []int) string {
	if len(ports) == 1 {
		return fmt.Sprintf("port %d", ports[0])
	}
	if last := ports[len(ports)-1]; last-ports[0] == len(ports)-1 {
		return fmt.Sprintf("ports %d to %d", ports[0], last)
	}
	return "ports " + strings.Trim(strings.ReplaceAll(fmt.Sprint(ports), " ", ", "), "[]")
}
