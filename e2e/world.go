// Package e2e runs the service as its users do, with a real nginx and a real Redis, and checks its
// guarantee.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pushgate/internal/channel"
	"pushgate/internal/sign"
	"pushgate/internal/testkit/faulty"
)

// Key signs the channels of every [World]; with several portals, each has one that begins with it.
const Key = "a key that only end-to-end tests have"

// Options are the parts of a [World].
type Options struct {
	Bin               string // directory of the built programs
	Edges, Publishers int
	// How many portals share the installation; 0: it has only the personal portal.
	Portals int
	Redis   Shape // what Redis is made of
	AOF     bool  // Redis keeps an append-only file
	// Each edge reaches its Redis, a single one, through its own proxy, in World.Links.
	FaultyLinks bool
	Env         []string // for edges and publishers
	EdgeEnv     []string // for edges only
	Handover    bool     // edges can be succeeded
	// How long old nginx workers stay after a reload; as in nginx/nginx.conf if empty.
	Shutdown string
}

// World is a whole installation: Redis, edges, publishers and nginx, on free ports of
// the loopback.
type World struct {
	Public, Internal string     // addresses of nginx
	Redis, Nginx     *Process   // the former is the first of Servers
	Servers          []*Process // of Redis: masters, then a replica of each if there are any
	Sentinels        []*Process
	Edges            []*Process
	Publishers       []*Process
	Links            []*faulty.Proxy // of the edges to Redis
	Portals          []*Portal       // at least one
	Signer           *sign.Signer    // of the first portal

	dir      string
	ports    net.Listener // by which they are this world's
	launcher *launcher
	waiting  sync.WaitGroup // for programs to end
	http     *http.Client
}

// Start runs a world until the test ends. The test fails if a program panicked, or did not end when
// it was stopped. After a failure the logs are kept.
func Start(tb testing.TB, o Options) *World {
	tb.Helper()
	w := Empty(tb)
	if err := w.start(tb.Context(), o); err != nil {
		tb.Fatal(err)
	}
	return w
}

// Empty returns a world without programs, whose directory is removed with it. The caller starts
// them and sets the exported fields. They end as those of [Start] do.
func Empty(tb testing.TB) *World {
	tb.Helper()
	dir, err := os.MkdirTemp("", "pushgate-e2e-")
	if err != nil {
		tb.Fatal(err)
	}
	w := &World{
		dir: dir, launcher: newLauncher(),
		http: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	tb.Cleanup(func() { w.close(tb) })
	return w
}

// Dir returns the directory of the world's files.
func (w *World) Dir() string { return w.dir }

// SetKey makes a portal that has the installation for itself, and signs with a key.
func (w *World) SetKey(key string) (err error) {
	w.Signer, err = sign.New("sha1", []byte(key))
	w.Portals = []*Portal{{HostID: "HostIdOfThePersonalPortal0123456", Keys: []string{key}, Signer: w.Signer, world: w}}
	return err
}

// Program makes a process that is not started yet, and puts it nowhere. ready returns nil when the
// program can do its work.
func (w *World) Program(name string, argv, env []string, ready func(context.Context) error) *Process {
	return &Process{Name: name, world: w, argv: argv, env: env, ready: ready}
}

func (w *World) start(ctx context.Context, o Options) error {
	ports, block, err := takePorts(2 + 2*o.Edges + 2*o.Publishers + o.Redis.ports())
	if err != nil {
		return err
	}
	w.ports = block
	next := func() string {
		port := ports[0]
		ports = ports[1:]
		return "127.0.0.1:" + strconv.Itoa(port)
	}
	portals, err := w.portals(o.Portals)
	if err != nil {
		return err
	}
	url, err := w.startRedis(ctx, o, next)
	if err != nil {
		return err
	}
	program := func(name, binary, redis string, env []string) *Process {
		addr, admin := next(), next()
		return &Process{Name: name, Addr: addr, Admin: "http://" + admin, world: w, argv: []string{filepath.Join(o.Bin, binary)},
			env: append(append([]string{portals, "PUSHGATE_REDIS_URL=" + redis, "PUSHGATE_LISTEN=" + addr,
				"PUSHGATE_ADMIN_LISTEN=" + admin, "PUSHGATE_ID=" + name, "PUSHGATE_LOG_FORMAT=text"}, o.Env...), env...),
			ready: func(ctx context.Context) error { _, err := get(ctx, "http://"+admin+"/readyz"); return err }}
	}
	public, internal := next(), next()
	if o.Portals > 0 {
		o.Env = append([]string{"PUSHGATE_SHARED_HOST=" + public}, o.Env...)
	}
	var edges, publishers []string
	for i := range o.Edges {
		redis := url
		if o.FaultyLinks {
			link, err := faulty.New("unix:" + w.Redis.Addr)
			if err != nil {
				return err
			}
			w.Links = append(w.Links, link)
			redis = "redis://" + link.Addr() + "/0"
		}
		p := program(fmt.Sprintf("edge-%d", i), "edge", redis, o.EdgeEnv)
		if o.Handover {
			p.Setenv("PUSHGATE_HANDOVER=" + filepath.Join(w.dir, p.Name+".sock"))
		}
		w.Edges, edges = append(w.Edges, p), append(edges, p.Addr)
	}
	for i := range o.Publishers {
		p := program(fmt.Sprintf("publisher-%d", i), "publisher", url, nil)
		w.Publishers, publishers = append(w.Publishers, p), append(publishers, p.Addr)
	}
	for _, p := range append(w.Edges, w.Publishers...) {
		if err := p.Start(ctx); err != nil {
			return err
		}
	}
	return w.startNginx(ctx, public, internal, edges, publishers, o.Shutdown)
}

// portals makes the portals, and returns the environment variable that names them to the programs.
func (w *World) portals(n int) (variable string, err error) {
	for number := min(n, 1); number <= n; number++ {
		p, err := newPortal(w, number)
		if err != nil {
			return "", err
		}
		w.Portals = append(w.Portals, p)
	}
	w.Signer = w.Portals[0].Signer
	if n == 0 {
		return "PUSHGATE_KEYS=" + Key, nil
	}
	path, err := writePortals(w.dir, w.Portals)
	return "PUSHGATE_PORTALS=" + path, err
}

// startNginx runs nginx with the configuration that users install, on other addresses.
func (w *World) startNginx(ctx context.Context, public, internal string, edges, publishers []string, shutdown string) error {
	w.Public, w.Internal = public, internal
	dir := filepath.Join(w.dir, "nginx")
	config := exec.CommandContext(ctx, filepath.Join(Repository(), "scripts/nginx-config"), dir)
	config.Env = append(os.Environ(), "EDGES="+strings.Join(edges, " "), "PUBLISHERS="+strings.Join(publishers, " "), "PUBLIC="+public,
		"INTERNAL="+internal, "SHUTDOWN="+shutdown)
	if w.Portals[0].ClientID != "" { // which then reach it from elsewhere
		config.Env = append(config.Env, "SHARED=1")
	}
	if out, err := config.CombinedOutput(); err != nil {
		return fmt.Errorf("nginx-config: %w: %s", err, out)
	}
	return w.runNginx(ctx, dir, public, func(ctx context.Context) error {
		status, _, err := w.Do(ctx, http.MethodGet, "http://"+public+"/", "")
		if err == nil && status != http.StatusNotFound {
			err = fmt.Errorf("status %d", status)
		}
		return err
	})
}

// runNginx starts nginx with the nginx.conf of a directory, which is also its prefix. ready returns
// nil when it serves.
func (w *World) runNginx(ctx context.Context, dir, public string, ready func(context.Context) error) error {
	w.Nginx = &Process{Name: "nginx", Addr: public, world: w, ready: ready,
		argv: []string{"nginx", "-e", dir + "/error.log", "-p", dir, "-c", dir + "/nginx.conf", "-g", "daemon off;"}}
	return w.Nginx.Start(ctx)
}

// Repository returns the root of the source tree.
func Repository() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(file))
}

// injected matches the log line of a panic that a build with the tag faultinject has injected.
var injected = regexp.MustCompile(`(?m)^.*msg="panic recovered".* panic="injected at .*\n`)

// close stops everything, from the outside in. Edges and publishers are asked to leave, so that
// every test checks this, too.
func (w *World) close(tb testing.TB) {
	if w.Nginx != nil {
		// SIGTERM is its fast shutdown. If nginx is killed, its workers stay.
		if err := w.Nginx.Stop(); err != nil {
			tb.Error(err)
		}
	}
	w.http.CloseIdleConnections() // publishers wait for them
	var leaving sync.WaitGroup
	for _, p := range append(w.Edges, w.Publishers...) {
		leaving.Go(func() {
			if err := p.Stop(); err != nil {
				tb.Error(err)
				p.Kill()
			}
		})
	}
	leaving.Wait()
	for _, link := range w.Links {
		link.Close()
	}
	for _, p := range append(w.Sentinels, w.Servers...) {
		p.Kill()
	}
	w.waiting.Wait()
	w.launcher.close()
	if w.ports != nil {
		w.ports.Close()
	}
	for _, p := range append(w.Edges, w.Publishers...) {
		log := injected.ReplaceAll(p.Log(), nil)
		for _, word := range []string{"panic", "DATA RACE", "fatal error"} {
			if bytes.Contains(log, []byte(word)) {
				tb.Errorf("%s: %q in its log", p.Name, word)
			}
		}
	}
	if tb.Failed() {
		tb.Logf("logs are in %s", w.dir)
		return
	}
	os.RemoveAll(w.dir)
}

// Do makes a request and reads the answer.
func (w *World) Do(ctx context.Context, method, url, body string) (status int, answer string, err error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	resp, err := w.http.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// Post publishes as the first portal: [Portal.Post].
func (w *World) Post(ctx context.Context, body string, hangUp bool, channels ...channel.ID) (status int, err error) {
	return w.Portals[0].Post(ctx, body, hangUp, channels...)
}

// Signed returns the CHANNEL_ID value with which a client of the first portal may subscribe to
// channels.
func (w *World) Signed(channels ...channel.ID) string { return w.Portals[0].Signed(channels...) }

// NewChannel makes a random id.
func NewChannel() channel.ID {
	var raw [channel.IDLen / 2]byte
	for i := range raw {
		raw[i] = byte(rand.Uint32())
	}
	return channel.FromBytes(raw)
}

// takePorts returns n ports in a row that no other world takes while block is open. They are below
// those that the kernel uses for outgoing connections: a program that is restarted must find its
// own port free.
func takePorts(n int) (ports []int, block net.Listener, err error) {
	const first, last, size = 12000, 32000, 40
	if n >= size {
		return nil, nil, fmt.Errorf("%d ports for one world", n)
	}
	for range 1000 {
		start := first + size*rand.IntN((last-first)/size)
		// A world that listens at the first port of a block has the whole block.
		block, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(start))
		if err != nil {
			continue
		}
		ports := make([]int, n)
		for i := range ports {
			ports[i] = start + 1 + i
		}
		if free(ports) {
			return ports, block, nil
		}
		block.Close()
	}
	return nil, nil, errors.New("no free ports")
}

// free reports whether no process listens at any of the ports.
func free(ports []int) bool {
	for _, port := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}
