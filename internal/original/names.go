package original

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// The paths that pushgate serves for each route of the original, without the last slash. The first
// one is what a portal uses. They must not be changed.
var (
	PubPaths  = []string{"/bitrix/pub", "/pub"}
	RestPaths = []string{"/bitrix/rest", "/rest", "/bitrix/pubweb", "/pubweb"}
	SubPaths  = []string{"/bitrix/subws", "/bitrix/sub", "/subws", "/sub"}
)

// pathVariables are the variables that hold a path, with the paths that pushgate serves for them.
var pathVariables = map[string][]string{
	"PUB_URI":   PubPaths,
	"PUBPATH":   PubPaths,
	"REST_URI":  RestPaths,
	"RESTPATH":  RestPaths,
	"SUB_URI":   SubPaths,
	"SUBPATH":   {"/bitrix/sub", "/bitrix/subws", "/sub", "/subws"}, // of polls
	"SUBWSPATH": SubPaths,
}

func pathNames() []string { return slices.Sorted(maps.Keys(pathVariables)) }

// unsupported are the variables that ask for something that pushgate does not do.
var unsupported = map[string]struct{ problem, hint string }{
	"IP_LIST": {"it chooses the clients whose requests the original logs (and never restricted anybody), which pushgate does not do",
		"leave it out; PUSHGATE_LOG_LEVEL=debug logs more of everybody, PUSHGATE_PUBLISH_ALLOW restricts who may post"},
	"MAX_MEMORY": {"it limits the heap of Node.js", "leave it out, or GOMEMLIMIT=1500MiB"},
}

// others are the known variables that are neither paths nor unsupported.
var others = []string{
	"MODE", "PUSHROLE", "PUSH_SUB_MODE", "PUSH_PUB_MODE",
	"SECURITY_KEY", "PUSH_SECURITY_KEY", "PUSH_SERVER_KEY",
	"REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD", "REDIS_ADDR", "REDIS_SOCK",
	"LISTEN_HOSTNAME", "LISTEN_PORT", "LISTEN_ADDR", "PUSH_SUB_PORT", "PUSH_PUB_PORT", "WS_HOST", "WS_PORT",
	"BASE_SUB", "BASE_PUB", "ID_SUB", "ID_PUB", "RUN_DIR",
}

// Known reports whether one of the original's images reads a variable.
func Known(name string) bool {
	_, path := pathVariables[name]
	_, refused := unsupported[name]
	return path || refused || slices.Contains(others, name)
}

// family matches names that look like the original's.
var family = regexp.MustCompile(`^(PUSH_|PUSHROLE|REDIS_|LISTEN_|WS_|SECURITY_|BASE_(SUB|PUB)|ID_(SUB|PUB)|` +
	`(PUB|SUB|SUBWS|REST|STAT|API|PUBWEB|REGISTER)(_URI|_PATH|PATH)$)`)

func inFamily(name string) bool { return family.MatchString(name) }

// injected matches what Docker links and Kubernetes put into the environment for each service, such
// as one that is called redis or push-sub.
var injected = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?|ENV_\w+)$`)

// foreign reports whether a variable looks like the original's but belongs to the machinery around
// the process.
func foreign(name, value string) bool {
	switch {
	case name == "LISTEN_FDS" || name == "LISTEN_PID" || name == "LISTEN_FDNAMES" || name == "LISTEN_PIDFDID": // systemd's
		return true
	case strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://"):
		return true
	}
	return injected.MatchString(name)
}

// nearest returns the known variable that shares the longest beginning with name.
func nearest(name string) string {
	known := append(pathNames(), others...)
	return slices.MaxFunc(known, func(a, b string) int { return common(name, a) - common(name, b) })
}

// common returns how many bytes two names have in common, at both ends.
func common(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	m := 0
	for m < min(len(a), len(b))-n && a[len(a)-1-m] == b[len(b)-1-m] {
		m++
	}
	return n + m
}
