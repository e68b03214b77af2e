package doctor

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
)

var machineIDs = []string{"machine.ports", "machine.portclash", "machine.somaxconn", "machine.handshakes", "machine.conntrack", "machine.tcpmem"}

// Bounds of what is well with the kernel's limits.
const (
	fewPorts      = 20_000 // for connections from nginx to one edge
	fewWaiting    = 1024   // connections that may wait to be accepted
	fewHandshakes = 512
)

// machine looks at the kernel's limits that many connections meet.
func (e *exam) machine(_ context.Context, s *sheet) {
	e.ports(s)
	e.atLeast(s, "machine.somaxconn", "proc/sys/net/core/somaxconn", fewWaiting)
	e.atLeast(s, "machine.handshakes", "proc/sys/net/ipv4/tcp_max_syn_backlog", fewHandshakes)
	e.conntrack(s)
	e.tcpMemory(s)
}

// atLeast checks a limit that is a number.
func (e *exam) atLeast(s *sheet, id, file string, least int64) {
	n := e.root.numbers(file)
	if len(n) == 0 {
		s.unknown(noFile, "/"+file, id)
		return
	}
	s.check(id, n[0] < least, Warning, fmt.Sprintf("%s = %d", sysctl(file), n[0]))
}

// sysctl returns the name of a limit of which this is the file.
func sysctl(file string) string {
	return strings.ReplaceAll(strings.TrimPrefix(file, "proc/sys/"), "/", ".")
}

// ports looks at the ports of outgoing connections: nginx needs one for each connection to an edge.
func (e *exam) ports(s *sheet) {
	const file = "proc/sys/net/ipv4/ip_local_port_range"
	n := e.root.numbers(file)
	if len(n) != 2 || n[1] < n[0] {
		s.unknown(noFile, "/"+file, "machine.ports", "machine.portclash")
		return
	}
	saw := fmt.Sprintf("%s = %d %d", sysctl(file), n[0], n[1])
	s.check("machine.ports", n[1]-n[0] < fewPorts, Warning, saw)
	s.add("machine.portclash", OK, saw)
	for _, port := range e.ourPorts() {
		if int64(port) >= n[0] && int64(port) <= n[1] {
			s.add("machine.portclash", Warning, fmt.Sprintf("%s, port %d", saw, port))
		}
	}
}

// ourPorts returns the ports of this machine that pushgate listens on, as far as is known.
func (e *exam) ourPorts() (all []int) {
	var addresses []string
	for _, p := range e.processes {
		addresses = append(addresses, p.address)
	}
	if e.nginx != nil {
		addresses = append(addresses, e.nginx.addresses()...)
	}
	for _, address := range addresses {
		host, text, err := net.SplitHostPort(address)
		port, bad := strconv.Atoi(text)
		if err == nil && bad == nil && port > 0 && (host == "localhost" || net.ParseIP(host).IsLoopback()) {
			all = append(all, port)
		}
	}
	return all
}

// conntrack looks at the table of connections that a firewall keeps.
func (e *exam) conntrack(s *sheet) {
	const dir = "proc/sys/net/netfilter/"
	count, most := e.root.numbers(dir+"nf_conntrack_count"), e.root.numbers(dir+"nf_conntrack_max")
	if len(count) == 0 || len(most) == 0 {
		s.add("machine.conntrack", OK) // nothing is tracked
		return
	}
	saw := fmt.Sprintf("%s = %d, %s = %d", sysctl(dir+"nf_conntrack_count"), count[0], sysctl(dir+"nf_conntrack_max"), most[0])
	state := OK
	switch {
	case count[0] > most[0]/10*9:
		state = Error
	case count[0] > most[0]/2:
		state = Warning
	}
	s.add("machine.conntrack", state, saw)
}

// tcpMemory looks at how much memory all sockets have, in pages.
func (e *exam) tcpMemory(s *sheet) {
	const file = "proc/sys/net/ipv4/tcp_mem"
	limits := e.root.numbers(file)
	text, err := e.root.read("proc/net/sockstat")
	used := int64(-1)
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "TCP:" && fields[len(fields)-2] == "mem" {
			if n, err := strconv.ParseInt(fields[len(fields)-1], 10, 64); err == nil {
				used = n
			}
		}
	}
	if err != nil || used < 0 || len(limits) != 3 {
		s.unknown(noFile, "/"+file, "machine.tcpmem")
		return
	}
	saw := fmt.Sprintf("%s = %d %d %d, used %d", sysctl(file), limits[0], limits[1], limits[2], used)
	state := OK
	switch {
	case used > limits[2]/10*9:
		state = Error
	case used > limits[1]:
		state = Warning
	}
	s.add("machine.tcpmem", state, saw)
}
