// Package urlpath detects paths that two programs may read differently, and reports which paths
// belong to a route.
package urlpath

import (
	"net/url"
	"strings"
)

// Ambiguous reports whether a proxy may read the path of u differently: whether it has a dot
// segment, an empty segment or a backslash, plain or escaped, once or more often. nginx chooses a
// location by the normalized path, but forwards what the client wrote: so /bitrix/pub/../rest/
// passes as one path and would arrive as another. No client or portal uses such a path.
func Ambiguous(u *url.URL) bool {
	// A raw backslash or number sign is escaped here, whatever the client wrote.
	path := u.EscapedPath()
	for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	if strings.Contains(path, "//") {
		return true
	}
	for i := strings.IndexByte(path, '%'); i >= 0; {
		if len(path) < i+3 || strings.Contains(escapes, strings.ToLower(path[i:i+3])) {
			return true
		}
		next := strings.IndexByte(path[i+1:], '%')
		if next < 0 {
			return false
		}
		i += 1 + next
	}
	return false
}

// escapes are those of a dot, a slash, a backslash, a number sign (which ends a path for some
// programs) and a percent sign (of an escaped escape).
const escapes = "%2e%2f%5c%23%25"

// Within reports whether path is a route, which is written without a slash at its end, or lies
// below it.
func Within(path, route string) bool {
	rest, ok := strings.CutPrefix(path, route)
	return ok && (rest == "" || rest[0] == '/')
}
