package original

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"pushgate/internal/config"
	"pushgate/internal/redisurl"
)

// PrivateNetworks is who may post without a signature to a publisher that was started with the
// original's variables, unless PUSHGATE_PUBLISH_ALLOW says otherwise: loopback, and what is never
// routed on the internet. The original lets everybody post.
const PrivateNetworks = "127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7"

// redis translates where Redis is. Values are not repeated in faults: they may hold a password.
func (t *translator) redis() {
	names := []string{"REDIS_SOCK", "REDIS_ADDR", "REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD"}
	if t.wins(config.Prefix+"REDIS_URL", names...) {
		return
	}
	if sock := t.theirs["REDIS_SOCK"]; sock != "" {
		if void := t.present("REDIS_ADDR", "REDIS_HOST", "REDIS_PORT"); len(void) > 0 {
			t.note("REDIS_SOCK is set, so %s %s no effect, as in the original.", list(void), plural(len(void), "has", "have"))
		}
		if !strings.HasPrefix(sock, "/") {
			t.fault("REDIS_SOCK", "it is not an absolute path", "the path of Redis's unix socket, such as /run/redis/redis.sock")
			return
		}
		t.redisURL("REDIS_SOCK", "unix://"+t.credentials()+(&url.URL{Path: sock}).EscapedPath())
		return
	}
	address := t.theirs["REDIS_ADDR"]
	if address != "" {
		if _, _, err := net.SplitHostPort(address); err != nil {
			address = net.JoinHostPort(strings.Trim(address, "[]"), "6379")
		}
	}
	if host := t.theirs["REDIS_HOST"]; host != "" {
		port := "6379"
		if t.theirs["REDIS_PORT"] != "" {
			port = t.theirs["REDIS_PORT"]
		}
		other := net.JoinHostPort(strings.Trim(host, "[]"), port)
		if address != "" && address != other {
			t.fault("REDIS_ADDR", "it contradicts REDIS_HOST and REDIS_PORT", "only one of the two")
			return
		}
		address = other
	}
	switch {
	case address != "":
		from := t.present("REDIS_ADDR", "REDIS_HOST")[0]
		t.redisURL(from, "redis://"+t.credentials()+address+"/0")
	case len(t.present(names...)) > 0:
		t.fault("REDIS_HOST", "it is not set, but "+list(t.present(names...))+" is", "the host of Redis; the original's images take redis")
	case t.settings.Role != Unset:
		t.set(config.Prefix+"REDIS_URL", "redis://redis:6379/0")
		t.note("REDIS_HOST is not set: Redis is looked for at the host redis, as in the original's images.")
	}
}

func (t *translator) redisURL(from, text string) {
	if _, err := redisurl.Parse(text); err != nil {
		t.fault(from, "with the other REDIS_ variables it makes no address of a Redis server: "+err.Error(),
			"REDIS_HOST=redis and REDIS_PORT=6379, or "+config.Prefix+"REDIS_URL")
		return
	}
	t.set(config.Prefix+"REDIS_URL", text)
}

// credentials returns the part of a URL that holds the password, empty if there is none.
func (t *translator) credentials() string {
	if password := t.theirs["REDIS_PASSWORD"]; password != "" {
		return ":" + url.PathEscape(password) + "@"
	}
	return ""
}

// listen translates where the process listens, and with it who may post.
func (t *translator) listen() {
	names := []string{"LISTEN_ADDR", "LISTEN_HOSTNAME", "LISTEN_PORT", "PUSH_SUB_PORT", "PUSH_PUB_PORT", "WS_HOST", "WS_PORT",
		"BASE_SUB", "ID_SUB", "BASE_PUB", "ID_PUB"}
	if t.wins(config.Prefix+"LISTEN", names...) {
		host, _, _ := net.SplitHostPort(t.ours[config.Prefix+"LISTEN"])
		t.allow(host)
		return
	}
	before := len(t.faults)
	host, port := t.hostname(), t.port()
	switch {
	case len(t.faults) > before: // what is missing may be a consequence
	case port != "":
		t.set(config.Prefix+"LISTEN", net.JoinHostPort(host, port))
		t.allow(host)
	case t.settings.Role != Unset || len(t.present(names...)) > 0:
		name := "LISTEN_PORT"
		if t.theirs["PUSH_SUB_MODE"] != "" {
			name = "PUSH_SUB_PORT"
		} else if t.theirs["PUSH_PUB_MODE"] != "" {
			name = "PUSH_PUB_PORT"
		}
		t.fault(name, "it is not set, and the original's images differ in the port that they take then",
			"the port that nginx or the portal calls: often 80 or 8010; 9010 for a publisher")
	}
}

// hostname returns the address to listen on. The original's images listen on every one.
func (t *translator) hostname() string {
	host, from := "", ""
	say := func(name, value string) {
		value = strings.Trim(value, "[]")
		switch {
		case value == "":
		case from == "":
			host, from = value, name
		case host != value:
			t.fault(name, fmt.Sprintf("%q contradicts %s, which is %q", value, from, host), "only one of the two")
		}
	}
	if address := t.theirs["LISTEN_ADDR"]; address != "" {
		if h, _, err := net.SplitHostPort(address); err == nil {
			address = h
		}
		say("LISTEN_ADDR", address)
	}
	say("LISTEN_HOSTNAME", t.theirs["LISTEN_HOSTNAME"])
	say("WS_HOST", t.theirs["WS_HOST"])
	if host == "" {
		return "0.0.0.0"
	}
	return host
}

// port returns the port to listen on, empty if nothing says it or it was refused.
func (t *translator) port() string {
	port, from := "", ""
	say := func(name, value string) {
		n, err := strconv.ParseUint(value, 10, 16)
		switch {
		case value == "":
		case err != nil || n == 0:
			t.fault(name, fmt.Sprintf("%q is not a port", value), "a number from 1 to 65535")
		case from == "":
			port, from = value, name
		case port != value:
			t.fault(name, fmt.Sprintf("%s contradicts %s, which is %s", value, from, port),
				"one port: one process serves one; or "+config.Prefix+"LISTEN")
		}
	}
	if _, p, err := net.SplitHostPort(t.theirs["LISTEN_ADDR"]); err == nil {
		say("LISTEN_ADDR", p)
	}
	say("LISTEN_PORT", t.theirs["LISTEN_PORT"])
	for _, c := range []struct {
		name string
		role Role
	}{{"PUSH_SUB_PORT", Edge}, {"PUSH_PUB_PORT", Publisher}} {
		switch t.settings.Role {
		case c.role, Both, Unset:
			say(c.name, t.theirs[c.name])
		default:
			if t.theirs[c.name] != "" {
				t.note("%s has no effect: this process is the %s.", c.name, t.settings.Role)
			}
		}
	}
	if ranged := t.ranges(); len(ranged) == 1 {
		say("BASE_SUB", strconv.Itoa(ranged[0]))
	} else if len(ranged) == 0 {
		say("WS_PORT", t.theirs["WS_PORT"])
	}
	return port
}

// ranges returns the ports of BASE_ and ID_. There is room for one in a process.
func (t *translator) ranges() (ports []int) {
	for _, c := range []struct {
		base, id string
		role     Role
	}{{"BASE_SUB", "ID_SUB", Edge}, {"BASE_PUB", "ID_PUB", Publisher}} {
		if t.theirs[c.base] == "" && t.theirs[c.id] == "" || t.settings.Role != c.role && t.settings.Role != Both && t.settings.Role != Unset {
			continue
		}
		some, err := Ports(t.theirs[c.base], t.theirs[c.id])
		if err != nil {
			t.fault(c.base, "with "+c.id+" it makes no ports: "+err.Error(), "BASE_SUB=801 and ID_SUB=5 are the ports 8010 to 8015")
			continue
		}
		ports = append(ports, some...)
		if len(some) > 1 {
			t.fault(c.base, fmt.Sprintf("with %s it asks for %d processes, on the ports %d to %d; this is one process",
				c.id, len(some), some[0], some[len(some)-1]),
				fmt.Sprintf("leave both out, and start one process for each port, with %sLISTEN=0.0.0.0:%d and so on; \"pushgate adopt\" writes their units", config.Prefix, some[0]))
		}
	}
	return ports
}

// Ports returns the ports that a base and a last id of the original's control script stand for: the
// base and one digit, from 0 to the id. A missing id is 0.
func Ports(base, id string) ([]int, error) {
	first, err := strconv.ParseUint(base, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("the base %q is not a number", base)
	}
	last := uint64(0)
	if id != "" {
		if last, err = strconv.ParseUint(id, 10, 16); err != nil || last > 9 {
			return nil, fmt.Errorf("the last id %q is not a digit", id)
		}
	}
	if first = first * 10; first == 0 || first+last > 65535 {
		return nil, fmt.Errorf("%d is not a port", first+last)
	}
	var ports []int
	for i := range last + 1 {
		ports = append(ports, int(first+i))
	}
	return ports, nil
}

// allow lets the networks post that a portal may be in, if the publisher listens on a host that is
// reached from there.
func (t *translator) allow(host string) {
	const name = config.Prefix + "PUBLISH_ALLOW"
	if t.settings.Role == Edge || t.ours[name] != "" || loopback(host) {
		return
	}
	t.set(name, PrivateNetworks)
	t.note("%s is not set: posts are accepted from private networks, where the original accepts them from everywhere. "+
		"Remove any public location for /bitrix/pub/ from nginx: what comes through it comes from a private network, too. "+
		"So does what comes to a port that Docker publishes, over its own proxy: publish the port of a publisher on an address of the portal's network only. "+
		"Set the variable to the networks of PHP to be stricter.", name)
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || host == "unix" || err == nil && ip.Unmap().IsLoopback()
}
