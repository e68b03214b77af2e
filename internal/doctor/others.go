package doctor

import (
	"context"
	"fmt"
	"os"
	"strings"
)

var otherIDs = []string{"others.ports", "others.original", "others.logrotate"}

// others looks for what gets in the way: programs on our ports, the server that pushgate replaces,
// and what restarts us every night.
func (e *exam) others(_ context.Context, s *sheet) {
	e.strangers(s)
	if len(e.programs) == 0 {
		s.unknown(noFile, "/proc", "others.original")
	} else {
		s.add("others.original", OK)
	}
	for _, p := range e.programs {
		if !p.ours() && strings.HasPrefix(p.name, "node") && strings.Contains(p.command, "push-server") {
			s.add("others.original", Warning, fmt.Sprintf("pid %s: %s", p.pid, p.command))
		}
	}
	e.logrotate(s)
}

// strangers looks at who listens on our ports.
func (e *exam) strangers(s *sheet) {
	sockets, ok := e.root.listeners()
	if !ok {
		s.unknown(noFile, "/proc/net/tcp", "others.ports")
		return
	}
	wanted := map[string]bool{}
	ports := e.ourPorts()
	for _, port := range ports {
		for _, id := range sockets[port] {
			wanted[id] = true
		}
	}
	owners := e.root.owners(e.programs, wanted)
	for _, port := range ports {
		for _, id := range sockets[port] {
			p, known := owners[id]
			if !known {
				continue // of another user, or in a container
			}
			s.check("others.ports", !p.ours(), Error, fmt.Sprintf("port %d: %s (pid %s)", port, p.name, p.pid))
		}
	}
	if len(wanted) > len(owners) {
		s.unknown(notRoot, "", "others.ports")
	}
	s.add("others.ports", OK)
}

// logrotate looks for rotations that restart a push server.
func (e *exam) logrotate(s *sheet) {
	const dir = "etc/logrotate.d"
	s.add("others.logrotate", OK)
	entries, err := os.ReadDir(e.root.path(dir))
	if err != nil {
		return // there is no logrotate
	}
	for _, entry := range entries {
		if entry.IsDir() {
			continue
		}
		text, err := e.root.read(dir + "/" + entry.Name())
		if err != nil {
			continue
		}
		number := 0
		for line := range strings.Lines(text) {
			number++
			line = strings.TrimSpace(line)
			if !strings.HasPrefix(line, "#") && strings.Contains(line, "restart") && restartsUs(line) {
				s.add("others.logrotate", Error, fmt.Sprintf("/%s/%s:%d: %s", dir, entry.Name(), number, line))
			}
		}
	}
}

// restartsUs reports whether a command names a unit of a push server.
func restartsUs(command string) bool {
	for _, unit := range []string{"push-server", "pushgate", "edge@", "publisher@"} {
		if strings.Contains(command, unit) {
			return true
		}
	}
	return false
}
