package e2e

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"pushgate/internal/adopt"
	"pushgate/internal/channel"
)

// outsider is an address that no installation knows.
const outsider = "192.0.2.7"

// TestAdopted runs what adopt writes: each installation's programs with exactly the settings that
// are in the files, over a real Redis with the settings that are there, until a message has come
// through. The test runs itself once more for each, in a network and with a /etc of its own, so
// that addresses, ports and paths can be those of the files.
func TestAdopted(t *testing.T) {
	if name := os.Getenv("E2E_ADOPTED"); name != "" {
		adopted(t, name, os.Getenv("E2E_ADOPTED_DIR"))
		return
	}
	t.Parallel()
	for _, name := range slices.Sorted(maps.Keys(adoptedSites)) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			root := filepath.Join(Repository(), "internal/adopt/testdata", name)
			o := adopt.Options{Root: root, Out: dir + "/out"}
			if _, err := os.Stat(root + "/options.tsv"); err == nil {
				o.OptionsFile = root + "/options.tsv"
			}
			if err := adopt.Run(t.Context(), o, io.Discard); err != nil {
				t.Fatal(err)
			}
			Unshared(t, "^TestAdopted$", "E2E_ADOPTED="+name, "E2E_ADOPTED_DIR="+dir, "E2E_BIN="+bin)
		})
	}
}

// adopted is the test inside the network of one installation.
func adopted(t *testing.T, name, dir string) {
	site := adoptedSites[name]
	w := &World{dir: dir, launcher: newLauncher(), http: &http.Client{Timeout: 10 * time.Second}}
	t.Cleanup(func() { w.close(t) })
	site.isolate(t, dir)
	key := AdoptedKey(dir + "/out")
	if key == "" {
		t.Fatal("no key was written")
	}
	if _, err := os.Stat(dir + "/out/compose.pushgate.yml"); err == nil {
		w.composed(t, site)
	} else {
		w.installed(t)
	}
	site.startNginx(t, w, filepath.Join(Repository(), "internal/adopt/testdata", name))
	w.Public, w.Internal = site.public, site.internal
	if err := w.SetKey(key); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		SelfTest(t, w)
	}
	site.roundTrip(t, w)
}

// isolate gives the test the addresses of the installation, and directories of its own in the place
// of /etc, /var/lib, /var/log and /run.
func (site adoptedSite) isolate(t *testing.T, dir string) {
	t.Helper()
	hosts := "127.0.0.1 localhost\n"
	commands := [][]string{{"ip", "link", "set", "lo", "up"}, {"ip", "addr", "add", outsider + "/32", "dev", "lo"}}
	seen := map[string]bool{}
	for name, address := range site.hosts {
		hosts += address + " " + name + "\n"
		if !seen[address] {
			commands = append(commands, []string{"ip", "addr", "add", address + "/32", "dev", "lo"})
		}
		seen[address] = true
	}
	etc := dir + "/etc"
	commands = append(commands, []string{"mkdir", "-p", etc + "/pushgate"}, []string{"cp", "/etc/passwd", "/etc/group", etc},
		[]string{"mount", "--bind", etc, "/etc"}, []string{"mount", "-t", "tmpfs", "none", "/var/lib"}, []string{"mkdir", "/var/lib/pushgate-redis"},
		[]string{"mount", "-t", "tmpfs", "none", "/run"},
		[]string{"mount", "-t", "tmpfs", "none", "/var/log"}, []string{"mkdir", "/var/log/nginx"})
	for _, c := range commands {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v %s", c, err, out)
		}
	}
	if err := os.WriteFile("/etc/hosts", []byte(hosts), 0o600); err != nil {
		t.Fatal(err)
	}
}

// composed starts the services of the override file. Each has the address of its name instead of
// 0.0.0.0: here they share one network.
func (w *World) composed(t *testing.T, site adoptedSite) {
	t.Helper()
	text, err := os.ReadFile(w.dir + "/out/compose.pushgate.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Entrypoint, Command []string
			EnvFile             []string `yaml:"env_file"`
			Environment         map[string]string
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	// In the image of Redis the protected mode is off.
	redis := append(slices.Clone(file.Services["push-redis"].Command), "--bind", site.hosts["push-redis"], "--protected-mode", "no", "--dir", "/var/lib/pushgate-redis")
	w.adoptedRedis(t, redis, site.hosts["push-redis"]+":6379")
	for _, name := range slices.Sorted(maps.Keys(file.Services)) {
		s := file.Services[name]
		if len(s.Entrypoint) == 0 {
			continue
		}
		var env []string
		for _, one := range s.EnvFile {
			lines, err := os.ReadFile(one)
			if err != nil {
				t.Fatal(err)
			}
			env = append(env, strings.Fields(string(lines))...)
		}
		for key, value := range s.Environment {
			env = append(env, key+"="+strings.Replace(value, "0.0.0.0", site.hosts[name], 1))
		}
		w.adoptedProgram(t, name, strings.TrimPrefix(s.Entrypoint[0], "/"), strings.Replace(s.Environment["PUSHGATE_LISTEN"], "0.0.0.0", site.hosts[name], 1), env)
	}
}

// installed starts the programs as their units do, with the drop-ins and the files in their places.
func (w *World) installed(t *testing.T) {
	t.Helper()
	out := w.dir + "/out"
	// Redis and its settings are those of the package.
	for _, path := range []string{out + "/portals.json", out + "/pushgate.env", Repository() + "/deploy/redis.conf"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("/etc/pushgate/"+filepath.Base(path), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	redis := unit(t, "pushgate-redis.service")
	for _, directory := range redis["RuntimeDirectory"] {
		if err := os.Mkdir("/run/"+directory, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.adoptedRedis(t, strings.Fields(redis["ExecStart"][0]), "/run/pushgate-redis/redis.sock")
	for _, c := range []struct {
		program     string
		first, last int
	}{{"edge", 8010, 8015}, {"publisher", 9010, 9011}} {
		for port := c.first; port <= c.last; port++ {
			env, err := UnitEnv(c.program, port, filepath.Join(out, "systemd", c.program+"@.service.d/adopt.conf"))
			if err != nil {
				t.Fatal(err)
			}
			w.adoptedProgram(t, fmt.Sprintf("%s-%d", c.program, port), c.program, fmt.Sprintf("127.0.0.1:%d", port), env)
		}
	}
}

func (w *World) adoptedRedis(t *testing.T, argv []string, addr string) {
	t.Helper()
	p := &Process{Name: "redis", Addr: addr, world: w, argv: argv}
	p.ready = func(ctx context.Context) error { return p.says(ctx, "PONG", "PING") }
	w.Servers, w.Redis = append(w.Servers, p), p
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for setting, want := range map[string]string{"maxmemory-policy": "noeviction", "appendonly": "yes"} {
		if err := p.says(t.Context(), want, "CONFIG", "GET", setting); err != nil {
			t.Error(err)
		}
	}
}

// adminAddress matches where a program says that its admin port is.
var adminAddress = regexp.MustCompile(`admin=(\S+)`)

func (w *World) adoptedProgram(t *testing.T, name, program, addr string, env []string) {
	t.Helper()
	p := &Process{Name: name, Addr: addr, world: w, argv: []string{filepath.Join(os.Getenv("E2E_BIN"), program)}, env: env}
	p.ready = func(ctx context.Context) error {
		match := adminAddress.FindSubmatch(p.Log())
		if match == nil {
			return fmt.Errorf("no admin port in the log")
		}
		p.Admin = "http://" + string(match[1])
		_, err := get(ctx, p.Admin+"/readyz")
		return err
	}
	if program == "edge" {
		w.Edges = append(w.Edges, p)
	} else {
		w.Publishers = append(w.Publishers, p)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// startNginx runs nginx with the installation's own files, or those that were written.
func (site adoptedSite) startNginx(t *testing.T, w *World, root string) {
	t.Helper()
	if site.nginx == nil {
		return
	}
	dir := w.dir + "/nginx"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(w.dir + "/out/nginx/pushgate"); err == nil {
		if err := os.CopyFS(dir+"/pushgate", os.DirFS(w.dir+"/out/nginx/pushgate")); err != nil {
			t.Fatal(err)
		}
	}
	text := "pid nginx.pid; error_log error.log; events {} http { access_log off; " + temporary(dir) + "\n" + site.nginx(root, w.dir+"/out") + "\n}\n"
	if err := os.WriteFile(dir+"/nginx.conf", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	err := w.runNginx(t.Context(), dir, site.public, func(ctx context.Context) error {
		_, _, err := w.Do(ctx, http.MethodGet, "http://"+site.public+"/", "")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// roundTrip has a subscriber receive what the portal posts, by WebSocket and by poll, and what
// somebody else posts only with a signature.
func (site adoptedSite) roundTrip(t *testing.T, w *World) {
	t.Helper()
	id := NewChannel()
	c := &Client{Address: w.Public, List: w.Signed(id), Dialect: Text{}, HTTP: http.DefaultClient}
	ctx, cancel := context.WithCancel(t.Context())
	opened, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); _ = c.WebSocket(ctx, func() { close(opened) }) }()
	select {
	case <-opened:
	case <-time.After(10 * time.Second):
		t.Fatal("no WebSocket")
	}
	w.await(t, webSockets, 1)
	if status := site.post(t, w, site.from, id, `"by the portal"`, false); status != http.StatusOK {
		t.Errorf("the portal's post: %d", status)
	}
	if site.from != "" { // else it comes from this machine
		if status := site.post(t, w, outsider, id, `"by somebody"`, false); status != http.StatusForbidden {
			t.Errorf("somebody's post: %d, want it refused", status)
		}
	}
	if status := site.post(t, w, outsider, id, `"signed"`, true); status != http.StatusOK {
		t.Errorf("a signed post: %d", status)
	}
	err := w.Edges[0].Await(t.Context(), func(context.Context) error {
		if n := c.Arrived(); n < 2 {
			return fmt.Errorf("%d messages: %v", n, c.Arrivals())
		}
		return nil
	})
	cancel()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	if status := site.post(t, w, site.from, id, `"meanwhile"`, false); status != http.StatusOK {
		t.Errorf("the portal's second post: %d", status)
	}
	if status, err := c.Poll(t.Context()); err != nil || status != http.StatusOK {
		t.Errorf("the poll: %d, %v", status, err)
	}
	var bodies []string
	for _, a := range c.Arrivals() {
		bodies = append(bodies, a.Body)
	}
	if want := []string{`"by the portal"`, `"signed"`, `"meanwhile"`}; !slices.Equal(bodies, want) {
		t.Errorf("received %v, want %v", bodies, want)
	}
	if faults, _ := c.Faults(); len(faults) > 0 {
		t.Error(faults)
	}
}

// post publishes from an address, empty for any.
func (site adoptedSite) post(t *testing.T, w *World, from string, id channel.ID, body string, signed bool) (status int) {
	t.Helper()
	dialer := &net.Dialer{}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	transport := &http.Transport{DialContext: dialer.DialContext}
	defer transport.CloseIdleConnections()
	target := "http://" + site.internal + "/bitrix/pub/?CHANNEL_ID=" + id.String()
	if signed {
		target += "&signature=" + w.Signer.SignBody([]byte(body))
	}
	answer, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Post(target, "application/x-www-form-urlencoded", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0
	}
	answer.Body.Close()
	return answer.StatusCode
}
