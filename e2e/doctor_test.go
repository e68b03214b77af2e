package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pushgate/internal/doctor"
)

// machine makes a directory with the files of a machine on which nothing is wrong: what the doctor
// finds must not depend on the one that the test runs on.
func machine(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"proc/1/comm":                                "systemd",
		"proc/net/tcp":                               "",
		"proc/net/sockstat":                          "TCP: inuse 10 orphan 0 tw 0 alloc 12 mem 50",
		"proc/sys/net/core/somaxconn":                "4096",
		"proc/sys/net/ipv4/tcp_max_syn_backlog":      "2048",
		"proc/sys/net/ipv4/ip_local_port_range":      "32768 60999",
		"proc/sys/net/ipv4/tcp_mem":                  "1000 2000 3000",
		"sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// examined is an installation that the doctor looks at.
type examined struct {
	*World
	root string
	env  []string // that the doctor has, besides the address of Redis
}

// options writes what nginx runs with, and returns what to look at.
func (w examined) options(t *testing.T) doctor.Options {
	t.Helper()
	dir := filepath.Join(w.dir, "nginx")
	dump, err := exec.Command("nginx", "-e", "stderr", "-p", dir, "-c", dir+"/nginx.conf", "-T").Output()
	if err != nil {
		t.Fatal(err)
	}
	o := doctor.Options{
		Environ: append([]string{"PUSHGATE_REDIS_URL=unix://" + w.Redis.Addr}, w.env...),
		Nginx:   filepath.Join(w.dir, "nginx-T"), Sample: w.Signed(NewChannel()),
		Portal: "http://" + w.Public, Publish: "http://" + w.Internal + "/bitrix/pub/", Root: w.root,
	}
	for _, p := range append(slices.Clone(w.Edges), w.Publishers...) {
		o.Admin = append(o.Admin, strings.TrimPrefix(p.Admin, "http://"))
	}
	if err := os.WriteFile(o.Nginx, dump, 0o600); err != nil {
		t.Fatal(err)
	}
	return o
}

// faults returns the ids of all that the doctor does not find well, and its report as it is
// printed.
func (w examined) faults(t *testing.T) (ids []string, text string) {
	t.Helper()
	report, err := doctor.Run(t.Context(), w.options(t))
	if err != nil {
		t.Fatal(err)
	}
	var printed strings.Builder
	if err := report.Text(&printed, doctor.English); err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		if f.State != doctor.OK {
			ids = append(ids, f.ID)
		}
	}
	return ids, printed.String()
}

// edit replaces a text in a file of nginx and starts nginx anew. It returns how to undo that.
func (w examined) edit(t *testing.T, file, from, to string) (undo func()) {
	t.Helper()
	name := filepath.Join(w.dir, "nginx", file)
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(before), from) {
		t.Fatalf("no %q in %s", from, file)
	}
	write := func(text string) {
		if err := w.Nginx.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.Nginx.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.ReplaceAll(string(before), from, to))
	return func() { write(string(before)) }
}

// TestDoctor: all is green on a good installation, for the library and for the command. Then it is
// spoiled in one way at a time, with real programs; what is then wrong is found, also from outside,
// and nothing else. All is green again when it is undone.
func TestDoctor(t *testing.T) {
	t.Parallel()
	w := examined{Start(t, Options{Bin: bin, Edges: 2, Publishers: 2, AOF: true}), machine(t), []string{"PUSHGATE_KEYS=" + Key}}
	if ids, text := w.faults(t); len(ids) > 0 {
		t.Fatalf("%v\n%s", ids, text)
	}
	doctorCommand(t, w)
	for _, c := range []struct {
		name  string
		want  []string
		spoil func(*testing.T, *examined) (undo func())
	}{
		{"posts are public behind another proxy", []string{"portal.closed"}, func(t *testing.T, w *examined) func() {
			return w.edit(t, "nginx.conf", "include pushgate/rest.conf;", "include pushgate/rest.conf; include pushgate/pub.conf;")
		}},
		{"no upgrade", []string{"nginx.upgrade", "portal.websocket"}, func(t *testing.T, w *examined) func() {
			return w.edit(t, "pushgate/sub.conf", "proxy_set_header Upgrade $replace_upgrade;", "")
		}},
		{"another program answers posts without a signature", []string{"portal.selftest"}, func(t *testing.T, w *examined) func() {
			return w.edit(t, "pushgate/pub.conf", "proxy_next_upstream error timeout;", `if ($arg_signature = "") { return 200 "ok"; } proxy_next_upstream error timeout;`)
		}},
		{"the publisher does not trust this machine", []string{"portal.selftest"}, func(t *testing.T, w *examined) func() {
			return w.edit(t, "pushgate/pub.conf", "X-Forwarded-For $remote_addr", "X-Forwarded-For 203.0.113.1")
		}},
		{"no streams", []string{"portal.sse"}, func(t *testing.T, w *examined) func() {
			return w.edit(t, "pushgate/sub.conf", "(sub|sse)", "(sub)")
		}},
		{"a short time-out", []string{"nginx.timeout", "portal.websocket", "portal.poll", "portal.sse", "portal.selftest"}, func(t *testing.T, w *examined) func() {
			return w.edit(t, "pushgate/sub.conf", "proxy_read_timeout 43800s;", "proxy_read_timeout 200ms;")
		}},
		{"the doctor has another key", []string{"keys.sample", "keys.algorithm", "keys.encoding", "portal.websocket", "portal.poll", "portal.sse", "portal.selftest"}, func(_ *testing.T, w *examined) func() {
			right := w.env
			w.env = []string{"PUSHGATE_KEYS=a key of another portal"}
			return func() { w.env = right }
		}},
		{"Redis evicts", []string{"redis.eviction"}, func(t *testing.T, w *examined) func() {
			set := func(policy string) {
				if _, err := w.Redis.Command(t.Context(), "CONFIG", "SET", "maxmemory-policy", policy); err != nil {
					t.Fatal(err)
				}
			}
			set("allkeys-lru")
			return func() { set("noeviction") }
		}},
		{"an edge is down", []string{"nginx.upstreams", "processes.ready"}, func(t *testing.T, w *examined) func() {
			if err := w.Edges[1].Stop(); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := w.Edges[1].Start(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		undo := c.spoil(t, &w)
		ids, text := w.faults(t)
		if !slices.Equal(ids, c.want) {
			t.Errorf("%s: %v, want %v\n%s", c.name, ids, c.want, text)
		}
		if strings.Contains(text, "CHANNEL_ID=") {
			t.Errorf("%s: an address with a signature is printed:\n%s", c.name, text)
		}
		undo()
	}
	if ids, _ := w.faults(t); len(ids) > 0 {
		t.Errorf("when all is undone: %v", ids)
	}
}

// TestDoctorOfManyPortals: the doctor publishes and receives as a portal in shared mode does, also
// if signatures must have a time.
func TestDoctorOfManyPortals(t *testing.T) {
	t.Parallel()
	const window = "PUSHGATE_SIGNATURE_WINDOW=5m"
	world := Start(t, Options{Bin: bin, Edges: 1, Publishers: 1, AOF: true, Portals: 2, Env: []string{window}})
	w := examined{world, machine(t), []string{"PUSHGATE_PORTALS=" + filepath.Join(world.dir, "portals.json"), window}}
	if ids, text := w.faults(t); len(ids) > 0 {
		t.Fatalf("%v\n%s", ids, text)
	}
}

// doctorCommand runs the command, and compares what does not depend on this machine.
func doctorCommand(t *testing.T, w examined) {
	t.Helper()
	dir := t.TempDir()
	if err := Build(dir, ".", "./cmd/pushgate"); err != nil {
		t.Fatal(err)
	}
	o := w.options(t)
	cmd := exec.Command(filepath.Join(dir, "pushgate"), "doctor", "--json", "--nginx", o.Nginx, "--admin", strings.Join(o.Admin, ","),
		"--sample", o.Sample, "--portal", o.Portal, "--publish", o.Publish)
	cmd.Env = append(os.Environ(), o.Environ...)
	out, _ := cmd.Output()
	var report struct {
		Findings []struct{ ID, Group, State string }
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatal(err, string(out))
	}
	seen := 0
	for _, f := range report.Findings {
		if f.Group == "machine" || f.Group == "others" || f.ID == "redis.thp" {
			continue
		}
		if seen++; f.State != "ok" {
			t.Errorf("the command: %+v", f)
		}
	}
	if seen < 40 {
		t.Errorf("%d checks", seen)
	}
}
