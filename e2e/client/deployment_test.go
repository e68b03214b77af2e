package client

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"pushgate/e2e"
	"pushgate/internal/adopt"
	"pushgate/internal/original"
)

// TestDeployments switches each known deployment of the original from it to pushgate and back, in
// every way that the documents name, while a page of the portal is open: exactly the deployment's
// variables, names and ports, its nginx, its posts. The page must receive before and after each
// switch, and asks the portal for nothing but a new key.
//
// The original cannot be had. A pushgate stands in for it, with the deployment's own settings and a
// Redis of its own.
//
// The test runs itself once more, in a network of its own. It takes two minutes.
func TestDeployments(t *testing.T) {
	if testing.Short() {
		t.Skip("takes two minutes")
	}
	requireSDK(t)
	dir := os.Getenv("E2E_DEPLOYMENTS")
	if dir == "" {
		dir = t.TempDir()
		image, lenient := filepath.Join(dir, "image")+"/", filepath.Join(dir, "lenient")+"/"
		for _, err := range []error{
			// As in the image.
			e2e.Build(image, ".", "./cmd/pushgate"), os.Symlink("pushgate", image+"edge"), os.Symlink("pushgate", image+"publisher"),
			// Accepts the keys that are published.
			e2e.BuildTags(lenient, "testvectors", ".", "./cmd/pushgate"),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		pattern := "^TestDeployments$"
		if _, rows, ok := strings.Cut(flag.Lookup("test.run").Value.String(), "/"); ok {
			pattern += "/" + rows
		}
		e2e.Unshared(t, pattern, "E2E_DEPLOYMENTS="+dir, "E2E_BIN="+filepath.Clean(image))
		return
	}
	isolate(t, dir)
	chromium := startChromium(t)
	for _, d := range deployments {
		t.Run(d.name, func(t *testing.T) {
			began := time.Now()
			r := &row{T: t, deployment: d, net: newSubnet(t), push: e2e.Empty(t), lenient: filepath.Join(dir, "lenient/pushgate")}
			r.run(chromium)
			t.Logf("took %v", time.Since(began).Round(100*time.Millisecond))
		})
	}
}

// deployment is one way in which the original is deployed.
type deployment struct {
	name    string
	version int    // of the push server, as the portal has it
	poll    bool   // pages use long polls: WebSockets do not get through
	dir     string // of its files, in the repository
	options string // a file there with the options of the portal
	unread  bool   // adopt cannot read these files
	key     string // the portal's signature key
	// path_to_publish today, as the plan wants it, and as adopt wants it if that is another one.
	publish, planned, adopted string
	rpc                       bool // the portal also posts as in version 5, once it is planned

	web      string   // the container of nginx; empty on a machine
	webNames []string // its other names
	nginx    func(*row, state) string

	variables []string          // of the original, if the files there do not have them
	refused   []string          // what our image says of exactly its variables, if it refuses them
	mend      map[string]string // what it proposes instead
	check     func(*row)        // in each step
	installation
}

// state is how the files around the push server are.
type state int

const (
	asIs      state = iota
	asBefore        // likewise, from what adopt has kept for the way back
	asPlanned       // as the head of the override file, or our chart, wants them
	asAdopted       // as adopt wants them
)

func (s state) changed() bool { return s == asPlanned || s == asAdopted }

// installation is the kind of deployment.
type installation interface {
	steps(*row) []step
	refusals(*row)
}

// step is one state of a deployment, and a switch to it from the one before.
type step struct {
	name     string
	services func() []service
	publish  string
	key      string
	state    state
}

// service is a program that runs.
type service struct {
	name, container string
	argv, env       []string
	redis           bool
}

// temp makes a directory.
func (r *row) temp() string {
	r.temps++
	dir := filepath.Join(r.push.Dir(), fmt.Sprint("temp-", r.temps))
	if err := os.Mkdir(dir, 0o700); err != nil {
		r.Fatal(err)
	}
	return dir
}

// adopts reports whether the deployment has files that adopt reads.
func (r *row) adopts() bool { return !r.unread }

// adopt runs it.
func (r *row) adopt() {
	r.out = filepath.Join(r.push.Dir(), "out")
	o := adopt.Options{Root: r.dir, Out: r.out}
	if r.options != "" {
		o.OptionsFile = filepath.Join(r.dir, r.options)
	}
	var plan strings.Builder
	if err := adopt.Run(r.Context(), o, &plan); err != nil {
		r.Fatal(err)
	}
	r.plan = plan.String()
}

// changedKey returns the key that adopt wrote: a new one, if it found today's one published.
func (r *row) changedKey() string {
	return cmp.Or(e2e.AdoptedKey(r.out), r.key)
}

// step returns a step in which nginx and the portal are in a state.
func (r *row) step(name string, state state, services func() []service) step {
	s := step{name: name, services: services, publish: r.publish, key: r.key, state: state}
	if state.changed() {
		s.publish, s.key = r.planned, r.changedKey()
	}
	if state == asAdopted && r.adopted != "" {
		s.publish = r.adopted
	}
	return s
}

// read returns one of the files that adopt wrote.
func (r *row) read(name string) string {
	r.Helper()
	text, err := os.ReadFile(filepath.Join(r.out, name))
	if err != nil {
		r.Fatal(err)
	}
	return string(text)
}

// restored checks that what adopt wrote for the portal's way back sets what it had before.
func (r *row) restored() {
	r.Helper()
	var text string
	files, _ := filepath.Glob(filepath.Join(r.out, "rollback/portal/*"))
	for _, name := range files {
		some, _ := os.ReadFile(name)
		text += string(some)
	}
	if r.publish != r.planned && !strings.Contains(text, "'"+r.publish+"'") || r.changedKey() != r.key && !strings.Contains(text, "'"+r.key+"'") {
		r.Errorf("the portal does not go back to %s and its key:\n%s", r.publish, text)
	}
}

// oldRedis returns the address of the Redis of the stand-ins, which keeps its log until the end.
func (r *row) oldRedis() string {
	if r.old == "" {
		socket := filepath.Join(r.temp(), "redis.sock")
		p := r.push.Program("old-redis", []string{"redis-server", "--port", "0", "--unixsocket", socket, "--dir", filepath.Dir(socket), "--save", ""}, nil, reachable("unix", socket))
		r.push.Servers = append(r.push.Servers, p)
		if err := p.Start(r.Context()); err != nil {
			r.Fatal(err)
		}
		r.old = "unix://" + socket
	}
	return r.old
}

// standIns returns processes with our own variables that stand in for those of the original.
func (r *row) standIns(all []standIn) (services []service) {
	for _, s := range all {
		if s.container != "" {
			r.net.container(s.container, "")
		}
		services = append(services, service{name: s.program + s.listen, container: s.container, argv: []string{r.lenient, s.program},
			env: []string{"PUSHGATE_KEYS=" + r.key, "PUSHGATE_LISTEN=" + s.listen, "PUSHGATE_ADMIN_LISTEN=" + s.admin, "PUSHGATE_REDIS_URL=" + r.oldRedis(),
				"PUSHGATE_PUBLISH_ALLOW=" + original.PrivateNetworks}})
	}
	return services
}

func reachable(network, address string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			conn.Close()
		}
		return err
	}
}

// change switches to a step. While programs are replaced, nginx stands still: in an installation
// that takes a second or two, and the client tries again after half a second and then after 15.
func (r *row) change(s step) {
	r.Helper()
	services := s.services()
	r.runNginx(r.nginx(r, s.state))
	if err := r.push.Nginx.SignalGroup(syscall.SIGSTOP); err != nil {
		r.Fatal(err)
	}
	for _, p := range r.running {
		p.Kill()
	}
	// The ids of two logs that begin in the same second would be equal, and the page would take the
	// messages for the same. In an installation they are years apart.
	time.Sleep(time.Until(time.Unix(r.posted.Unix()+1, 0)))
	r.left = append(r.left, r.push.Edges...)
	r.left = append(r.left, r.push.Publishers...)
	r.running, r.push.Edges, r.push.Publishers = nil, nil, nil
	for _, redis := range []bool{true, false} {
		var starting errgroup.Group
		for _, one := range services {
			if one.redis == redis {
				p := r.program(s, one)
				starting.Go(func() error { return p.Start(r.Context()) })
			}
		}
		if err := starting.Wait(); err != nil {
			r.Fatal(err)
		}
	}
	if err := r.push.Nginx.SignalGroup(syscall.SIGCONT); err != nil {
		r.Fatal(err)
	}
	address, err := url.Parse(s.publish)
	if err != nil {
		r.Fatal(err)
	}
	if err := r.push.SetKey(s.key); err != nil {
		r.Fatal(err)
	}
	r.portal.setKey(s.key)
	r.push.Public, r.push.Internal, r.push.Portals[0].PubPath = net.JoinHostPort(r.host(), "80"), address.Host, address.Path
	if address.Port() == "" {
		r.push.Internal += ":80"
	}
	if r.now.key != "" && r.now.key != s.key {
		r.configs++ // as the plan says: the key is changed in the portal at the same time
	}
	r.now = s
}

// adminOfImage is what the image sets itself.
const adminOfImage = "PUSHGATE_ADMIN_LISTEN=127.0.0.1:9090"

// program makes the process of a service.
func (r *row) program(s step, one service) *e2e.Process {
	address := r.net.containers[one.container]
	if one.container == "" {
		address = "127.0.0.1"
	}
	name := strings.ReplaceAll(s.name+"-"+one.name, " ", "-")
	if one.redis {
		where := reachable("tcp", address+":6379")
		if one.container == "" {
			where = redisOfMachine(one.argv)
		}
		p := r.push.Program(name, inside(one.container, nil, one.argv...), nil, where)
		r.push.Servers, r.running = append(r.push.Servers, p), append(r.running, p)
		return p
	}
	env := slices.Clone(one.env)
	if !slices.ContainsFunc(env, func(pair string) bool { return strings.HasPrefix(pair, "PUSHGATE_ADMIN_LISTEN=") }) {
		env = append(env, adminOfImage)
	}
	var admin string
	for i, pair := range env { // the only change: this test reads it from outside
		if port, ok := strings.CutPrefix(pair, "PUSHGATE_ADMIN_LISTEN="); ok {
			_, port, _ = net.SplitHostPort(port)
			admin = net.JoinHostPort(address, port)
			env[i] = "PUSHGATE_ADMIN_LISTEN=" + admin
		}
	}
	if one.container != "" {
		env = append(env, "PUSHGATE_ADMIN_PUBLIC=true")
	}
	p := r.push.Program(name, inside(one.container, env, one.argv...), nil, func(ctx context.Context) error {
		return r.ok(ctx, "http://"+admin+"/readyz")
	})
	p.Admin = "http://" + admin
	role := filepath.Base(one.argv[0])
	if len(one.argv) > 1 {
		role = one.argv[1]
	}
	if settings, err := original.Translate(env); role == "serve" && err == nil {
		role = settings.Role.String()
	}
	if role == "edge" {
		r.push.Edges = append(r.push.Edges, p)
	} else {
		r.push.Publishers = append(r.push.Publishers, p)
	}
	r.running = append(r.running, p)
	return p
}

func (r *row) ok(ctx context.Context, address string) error {
	status, text, err := r.push.Do(ctx, http.MethodGet, address, "")
	if err == nil && status != http.StatusOK {
		err = errors.New(text)
	}
	return err
}

// serve runs our image with exactly these variables, which it must refuse, and returns what it
// says.
func serve(t *testing.T, env []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	argv := inside("", append(env, adminOfImage), bin+"/pushgate", "serve")
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() <= 0 {
		t.Errorf("it was to refuse %q: %v", env, err)
	}
	return string(out)
}
