package adopt

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"pushgate/internal/original"
)

// plan is what is to be done with a survey.
type plan struct {
	*survey
	out        string    // directory of the files
	shellOut   string    // the same as commands name it
	keys       []string  // the first one signs
	fresh      bool      // the first key is new
	edges      []process // with distinct ports
	publishers []process
	env        []string // settings that edges and publishers share, without secrets
	open       bool     // other addresses than loopback must reach the programs
	allow      []string // networks that may post
	publish    string   // where the portal posts: http://host:port

	portalChanges bool

	runs, nginxSteps, portalSteps, change, back []string
	files                                       []file
}

// file is one that is written.
type file struct {
	name string
	mode fs.FileMode
	text []byte
}

// add adds a file to be written. One with a secret is for its owner only.
func (p *plan) add(name, text string) { p.files = append(p.files, file{name, 0o644, []byte(text)}) }

func (p *plan) addSecret(name, text string) {
	p.files = append(p.files, file{name, 0o600, []byte(text)})
}

// makePlan judges what was found, and says what to do.
func makePlan(s *survey, out string, random io.Reader, before string) (*plan, error) {
	s.nginxServers()
	s.judgeNginx()
	s.judgePortals()
	s.judgeKeys()
	if s.centos7.file != "" {
		s.wrong(s.centos7, "this system is CentOS 7, whose Redis is 6.0 or 6.2 and whose systemd is 219",
			"pushgate needs Redis 7.0, and its package EL 9 or Debian 12", "BitrixVM 9, or pushgate on another machine (docs/migrate.md, A system that is too old)")
	}
	p := &plan{survey: s, out: out, shellOut: shellQuote(out)}
	p.merge()
	p.judgePorts()
	if len(s.broken) == 0 && len(p.edges)+len(p.publishers) == 0 {
		s.unreadable(place{file: "."}, "no push server was found here",
			"name the root of the machine (--root /), or the directory of its compose file, or of manifests as \"helm template\" prints them")
	}
	if err := p.chooseKeys(random, before); err != nil {
		return nil, err
	}
	if len(s.broken) > 0 {
		return p, nil
	}
	p.settings()
	switch s.kind {
	case machine:
		p.planMachine()
	case compose:
		p.planCompose()
	case kubernetes:
		p.planKubernetes()
	}
	p.planNginx()
	p.planPortals()
	p.planSteps()
	p.planRollback()
	return p, nil
}

// merge puts the processes together that one file lists, and another describes once more.
func (p *plan) merge() {
	taken := map[string]bool{}
	for _, one := range p.processes {
		if one.role == original.Both {
			p.unreadable(one.at, "one process of the original serves subscribers and the portal on one port, for which there is no plan",
				"run \"pushgate serve\" in its place, with the same variables (docs/migrate.md, The original's variables)")
			continue
		}
		for _, c := range []struct {
			role original.Role
			list *[]process
		}{{original.Edge, &p.edges}, {original.Publisher, &p.publishers}} {
			if one.role != c.role {
				continue
			}
			mine := one
			mine.ports = slices.DeleteFunc(slices.Clone(one.ports), func(port int) bool {
				id := fmt.Sprint(c.role, one.name, port)
				was := taken[id]
				taken[id] = true
				return was
			})
			if len(mine.ports) > 0 {
				*c.list = append(*c.list, mine)
			}
		}
	}
}

// chooseKeys takes the key that the portal signs with, if it may speak for the push server. One
// that cannot stay is replaced: by the one that was made before, if there is any.
func (p *plan) chooseKeys(random io.Reader, before string) (err error) {
	all := []string{}
	for _, one := range p.portals {
		if p.speaksFor(one) {
			all = append(all, one.options["signature_key"].value)
		}
	}
	for _, key := range p.survey.keys {
		all = append(all, key.value)
	}
	for _, key := range all {
		if key == "" || slices.Contains(p.keys, key) {
			continue
		}
		if p.unfit(key) == "" {
			p.keys = append(p.keys, key)
		} else {
			p.fresh = true
		}
	}
	switch {
	case len(p.keys) > 0:
		p.fresh = false
	case p.fresh && before != "":
		p.keys = []string{before}
	case p.fresh:
		key, err := newKey(random)
		p.keys = []string{key}
		return err
	case len(p.broken) == 0:
		p.unreadable(place{file: "."}, "the signature key was not found",
			"adopt reads it from the push server's settings, from section pull of .settings.php, or from a dump of the options: --options FILE")
	}
	return nil
}

// settings makes the variables that all programs share.
func (p *plan) settings() {
	for _, name := range slices.Sorted(maps.Keys(p.survey.settings)) {
		p.env = append(p.env, name+"="+p.survey.settings[name].value)
	}
}

// ports returns all ports of processes, sorted.
func ports(all []process) (ports []int) {
	for _, one := range all {
		ports = append(ports, one.ports...)
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// upstreamHost returns the host by which nginx calls the processes, empty if it does not say.
func (p *plan) upstreamHost() string {
	all := append(ports(p.edges), ports(p.publishers)...)
	for _, l := range p.nginx.locations {
		for _, server := range p.passes(l) {
			host, port, err := net.SplitHostPort(server)
			if n, bad := strconv.Atoi(port); err == nil && bad == nil && slices.Contains(all, n) {
				return host
			}
		}
	}
	return ""
}

// where returns where nginx reaches processes: host:port.
func (p *plan) where(all []process) (addresses []string) {
	for _, one := range all {
		host := "127.0.0.1"
		switch p.kind {
		case compose:
			host = p.name(one)
		case kubernetes:
			host = "pushgate-" + one.role.String()
		case machine:
			if called := p.upstreamHost(); called != "" {
				host = called
			}
		}
		for _, port := range one.ports {
			addresses = append(addresses, net.JoinHostPort(host, strconv.Itoa(port)))
		}
	}
	return addresses
}

// name returns the name by which a service of compose is reached: the one that nginx has, if it has
// any.
func (p *plan) name(one process) string {
	for _, v := range p.services {
		if v.name != one.name {
			continue
		}
		for _, l := range p.nginx.locations {
			for _, server := range p.passes(l) {
				host, _, err := net.SplitHostPort(server)
				if err != nil {
					host = server
				}
				if slices.Contains(v.names, host) {
					return host
				}
			}
		}
	}
	return one.name
}

// oneLine replaces what a terminal would obey or not show, and what would begin another line: the
// names and values are those of others, and must not look like a part of the plan.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// text returns the plan in plain words.
func (p *plan) text() string {
	w := &strings.Builder{}
	line := func(format string, args ...any) { w.WriteString(oneLine(fmt.Sprintf(format, args...)) + "\n") }
	section := func(title string, n int) {
		if n > 0 {
			w.WriteString("\n")
			line("%s", title)
		}
	}
	line("pushgate adopt: what is here, and how pushgate takes its place. Nothing is changed by reading this.")
	section("THERE IS NO PLAN YET. Put this right first, and run adopt again:", len(p.broken))
	for i, f := range p.broken {
		line("  %d. %s: %s.", i+1, f.at, f.problem)
		line("     Remedy: %s.", f.remedy)
	}
	section("WHAT WAS FOUND ("+[...]string{"services of this machine", "Docker compose", "Kubernetes"}[p.kind]+")", len(p.found))
	for _, f := range p.found {
		line("  %s: %s", f.at, f.text)
	}
	section("WHAT IS WRONG TODAY", len(p.faults))
	for i, f := range p.faults {
		line("  %d. %s: %s.", i+1, f.at, f.problem)
		line("     Consequence: %s.", f.consequence)
		line("     Remedy: %s.", f.remedy)
	}
	section("WHAT IS NOT CARRIED OVER", len(p.dropped))
	for _, f := range p.dropped {
		line("  %s: %s.", f.at, f.text)
	}
	if len(p.broken) > 0 {
		return w.String()
	}
	for _, part := range []struct {
		title string
		lines []string
	}{
		{"WHAT WILL RUN", p.runs}, {"WHAT CHANGES IN " + [...]string{"NGINX", "NGINX", "THE INGRESS"}[p.kind], p.nginxSteps}, {"WHAT CHANGES IN THE PORTAL", p.portalSteps},
		{"TO CHANGE", p.change}, {"TO GO BACK", p.back},
	} {
		section(part.title, len(part.lines))
		for _, one := range part.lines {
			line("  %s", one)
		}
	}
	return w.String()
}
