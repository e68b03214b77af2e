package adopt

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"pushgate/internal/original"
)

// packageRedis is where the package's pushgate-redis serves, as deploy/pushgate.env has it.
const packageRedis = "unix:///run/pushgate-redis/redis.sock?db=0"

// planMachine plans units in the place of the original's processes, on the same ports.
func (p *plan) planMachine() {
	host := p.upstreamHost()
	if host == "" && len(p.edges) > 0 {
		host = p.edges[0].host
	}
	p.open = host != "" && !local(host)
	p.machineAllow(host)
	p.env = append([]string{"PUSHGATE_REDIS_URL=" + packageRedis, "PUSHGATE_PORTALS=/etc/pushgate/portals.json", "PUSHGATE_LOG_FORMAT=text",
		"PUSHGATE_PUBLISH_ALLOW=" + strings.Join(p.allow, ",")}, p.env...)
	p.addSecret("portals.json", p.portalsFile())
	p.add("pushgate.env", strings.Join(p.env, "\n")+"\n")
	p.runs = append(p.runs, "pushgate-redis: a Redis of pushgate's own, with a socket, from its package (noeviction, append-only file). One that is there stays as it is. It needs a redis-server of version 7.0 or later.")
	for _, c := range []struct {
		unit  string
		ports []int
	}{{"edge", ports(p.edges)}, {"publisher", ports(p.publishers)}} {
		if len(c.ports) == 0 {
			continue
		}
		p.runs = append(p.runs, fmt.Sprintf("%s: %d %s, the same as today.", units(c.unit, c.ports), len(c.ports), plural(len(c.ports), "process, on "+portList(c.ports), "processes, on "+portList(c.ports))))
		if !p.open {
			continue // the package's units listen on loopback
		}
		dropIn := fmt.Sprintf("[Service]\n# nginx, or the portal, calls these programs at %s.\nEnvironment=PUSHGATE_LISTEN=0.0.0.0:%%i\n", oneLine(host))
		// An empty list would shut out loopback, too.
		if networks := p.reach(); len(networks) > 0 {
			dropIn += "IPAddressAllow=" + strings.Join(networks, " ") + "\n"
		}
		p.add("systemd/"+c.unit+"@.service.d/adopt.conf", dropIn)
		if c.unit == "edge" { // its successor listens where it does, or could not take over
			p.add("systemd/edge-next@.service.d/adopt.conf", dropIn)
		}
	}
	if p.open {
		p.runs = append(p.runs, "They listen on every address, because nginx or the portal calls them at "+host+". The units let in "+strings.Join(p.allow, ", ")+" only.")
	}
	p.runs = append(p.runs, "Posts without a signature are accepted from "+strings.Join(p.allow, ", ")+".")
	p.publish = p.portalPosts()
}

// machineAllow finds out who posts: this machine, and the network of the portals that post to it
// directly.
func (p *plan) machineAllow(host string) {
	p.allow = []string{"127.0.0.0/8", "::1/128"}
	if !p.open {
		return
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		if address, err = netip.ParseAddr(p.hosts[host]); err != nil {
			p.allow = strings.Split(original.PrivateNetworks, ",")
			return
		}
	}
	if address.IsLoopback() {
		return // but another one than 127.0.0.1: 127.0.1.1, for example, is usual for the own name
	}
	if u, err := url.Parse(p.portalPosts()); err == nil && !local(u.Hostname()) && slices.Contains(ports(p.publishers), number(u.Port())) && address.Is4() {
		lan, _ := address.Prefix(24)
		p.allow = append(p.allow, lan.String())
		return
	}
	p.allow = append(p.allow, netip.PrefixFrom(address, address.BitLen()).String())
}

// reach returns the networks that must reach the programs.
func (p *plan) reach() []string {
	return slices.DeleteFunc(slices.Clone(p.allow), func(network string) bool {
		prefix, err := netip.ParsePrefix(network)
		return err == nil && prefix.Addr().IsLoopback()
	})
}

// portalPosts returns where portals post today, without the path: nginx's own address if nothing
// says it. Of portals that the operator has not named, it is an address of this machine.
func (p *plan) portalPosts() string {
	for _, one := range p.portals {
		u, err := url.Parse(posts(one))
		if err == nil && u.Host != "" && (one.named || local(u.Hostname()) || p.hosts[u.Hostname()] != "" || slices.Contains(slices.Collect(maps.Values(p.hosts)), u.Hostname())) {
			return "http://" + u.Host
		}
	}
	return "http://127.0.0.1:8895"
}

// posts returns where a portal posts today, without the path; empty if it does not say.
func posts(one portal) string {
	if u, err := url.Parse(one.options["path_to_publish"].value); err == nil && u.Host != "" {
		return "http://" + u.Host
	}
	return ""
}

// portalsFile returns the file that PUSHGATE_PORTALS names.
func (p *plan) portalsFile() string {
	type portal struct {
		Keys []string `json:"keys"`
	}
	// Strings cannot fail.
	text, _ := json.MarshalIndent(map[string][]portal{"portals": {{p.keys}}}, "", "  ")
	return string(text) + "\n"
}

// units returns the names of units for a shell.
func units(name string, ports []int) string {
	if len(ports) == 1 {
		return fmt.Sprintf("%s@%d", name, ports[0])
	}
	if ports[len(ports)-1]-ports[0] == len(ports)-1 {
		return fmt.Sprintf("%s@{%d..%d}", name, ports[0], ports[len(ports)-1])
	}
	texts := make([]string, len(ports))
	for i, port := range ports {
		texts[i] = fmt.Sprint(port)
	}
	return name + "@{" + strings.Join(texts, ",") + "}"
}
