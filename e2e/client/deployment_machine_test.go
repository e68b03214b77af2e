package client

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pushgate/e2e"
)

// onMachine is a deployment whose processes are units of one machine.
type onMachine struct {
	listen   string // where the original listens
	name     string // of the machine
	packaged bool   // pushgate-bitrixvm is for it
}

var unitPorts = []struct {
	program     string
	first, last int
}{{"edge", 8010, 8015}, {"publisher", 9010, 9011}}

// steps are: the original, the package for it, what adopt writes, and back.
func (m onMachine) steps(r *row) (steps []step) {
	r.net.name(m.name, machine)
	old := r.step("the original", asIs, func() []service {
		var all []standIn
		for _, c := range unitPorts {
			for port := c.first; port <= c.last; port++ {
				all = append(all, standIn{"", c.program, fmt.Sprintf("%s:%d", m.listen, port), fmt.Sprintf("127.0.0.1:1%d", port)})
			}
		}
		return r.standIns(all)
	})
	steps = append(steps, old)
	deploy := filepath.Join(e2e.Repository(), "deploy")
	if m.packaged {
		packaged := r.step("the package", asIs, func() []service {
			m.install(r, map[string]string{deploy + "/pushgate.env": "pushgate.env", deploy + "/redis.conf": "redis.conf", deploy + "/bitrixvm/bitrixvm.env": "bitrixvm.env"})
			// As in README.md there.
			m.write(r, "portals.json", fmt.Sprintf("{\"portals\": [{\"keys\": [%q]}]}\n", r.key))
			return m.services(r, func(string) string { return deploy + "/bitrixvm/listen.conf" })
		})
		steps = append(steps, packaged)
	}
	adopted := r.step("what adopt wrote", asAdopted, func() []service {
		m.install(r, map[string]string{r.out + "/pushgate.env": "pushgate.env", r.out + "/portals.json": "portals.json", deploy + "/redis.conf": "redis.conf"})
		return m.services(r, func(program string) string {
			path := filepath.Join(r.out, "systemd", program+"@.service.d/adopt.conf")
			if _, err := os.Stat(path); err != nil {
				return "" // where only this machine calls them, the package's units do
			}
			return path
		})
	})
	original := old.services
	back := r.step("back", asBefore, func() []service {
		for _, command := range []string{"systemctl disable --now edge@{8010..8015} publisher@{9010..9011}", "systemctl enable --now push-server"} {
			if !strings.Contains(r.read("ROLLBACK.md"), command) {
				r.Errorf("ROLLBACK.md does not say %s", command)
			}
		}
		return original()
	})
	return append(steps, adopted, back)
}

func (onMachine) refusals(r *row) { r.Helper(); refuses(r.T, r.variables, r.refused...) }

func (m onMachine) install(r *row, files map[string]string) {
	r.Helper()
	for from, name := range files {
		text, err := os.ReadFile(from)
		if err != nil {
			r.Fatal(err)
		}
		m.write(r, name, string(text))
	}
}

func (m onMachine) write(r *row, name, text string) {
	r.Helper()
	if err := os.WriteFile("/etc/pushgate/"+name, []byte(text), 0o600); err != nil {
		r.Fatal(err)
	}
}

// services returns what the units run, with a drop-in of each; "" is none.
func (m onMachine) services(r *row, dropIn func(program string) string) []service {
	r.Helper()
	shell(r.T, "rm -rf /var/lib/pushgate-redis /run/pushgate-redis", "mkdir -p /var/lib/pushgate-redis /run/pushgate-redis")
	all := []service{{name: "redis", argv: []string{"redis-server", "/etc/pushgate/redis.conf"}, redis: true}}
	for _, c := range unitPorts {
		dropIns := slices.DeleteFunc([]string{dropIn(c.program)}, func(path string) bool { return path == "" })
		for port := c.first; port <= c.last; port++ {
			env, err := e2e.UnitEnv(c.program, port, dropIns...)
			if err != nil {
				r.Fatal(err)
			}
			all = append(all, service{name: fmt.Sprintf("%s-%d", c.program, port), argv: []string{bin + "/" + c.program}, env: env})
		}
	}
	return all
}

// redisOfMachine returns nil when the Redis with that configuration can be reached.
func redisOfMachine(argv []string) func(context.Context) error {
	text, _ := os.ReadFile(argv[len(argv)-1])
	for line := range strings.Lines(string(text)) {
		if socket, ok := strings.CutPrefix(strings.TrimSpace(line), "unixsocket "); ok {
			return reachable("unix", socket)
		}
		if port, ok := strings.CutPrefix(strings.TrimSpace(line), "port "); ok && port != "0" {
			return reachable("tcp", "127.0.0.1:"+port)
		}
	}
	return func(context.Context) error { return fs.ErrNotExist }
}
