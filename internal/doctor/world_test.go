package doctor

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pushgate/internal/channel"
	"pushgate/internal/testkit"
	"pushgate/internal/testkit/storetest"
	"pushgate/nginx"
)

const key = "the key of a portal in tests"

// installation is all that the doctor looks at: a real Redis, servers in the places of edges and
// publishers, nginx's files of the repository, and a machine in a directory.
type installation struct {
	t       *testing.T
	redis   *storetest.Redis
	env     map[string]string
	files   map[string]string // of the machine
	nginx   map[string]string // by name, as nginx -T has them
	names   []string          // of nginx, in order
	version string            // of nginx
	admins  []*admin
	servers []*httptest.Server
	sample  string
	body    []byte
}

// admin is the admin port of a process.
type admin struct {
	server  *httptest.Server
	status  int
	date    string
	metrics string
}

func (a *admin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.date != "" {
		w.Header().Set("Date", a.date)
	}
	if r.URL.Path == "/readyz" {
		w.WriteHeader(a.status)
		fmt.Fprintln(w, "ok")
		return
	}
	fmt.Fprint(w, a.metrics)
}

// listen listens below the ports of outgoing connections.
func listen(t *testing.T, handler http.Handler) *httptest.Server {
	t.Helper()
	for range 100 {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(8_000)))
		if err != nil {
			continue
		}
		server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
		server.Start()
		t.Cleanup(server.Close)
		return server
	}
	t.Fatal("no free port")
	return nil
}

const (
	edgeMetrics = "# HELP pushgate_subscribed\npushgate_subscribed 1\npushgate_connections{transport=\"websocket\"} 10\npushgate_gaps_total 0\n" +
		"pushgate_build_info{commit=\"abc\",go=\"go1\",version=\"v1\"} 1\nprocess_open_fds 20\nprocess_max_fds 65536\n"
	publisherMetrics = "pushgate_published_total 5\npushgate_publish_refused_total{reason=\"forbidden\"} 1\n" +
		"pushgate_build_info{commit=\"abc\",go=\"go1\",version=\"v1\"} 1\nprocess_open_fds 20\nprocess_max_fds 65536\n"
)

// newInstallation makes one in which nothing is wrong.
func newInstallation(t *testing.T) *installation {
	t.Helper()
	i := &installation{t: t, version: "1.22.1", sample: testkit.Signer(key).Sign(channel.Ref{Private: testkit.Channel(1)}).String(),
		redis: storetest.StartRedis(t, "--appendonly", "yes", "--maxmemory", "256mb", "--disable-thp", "no")}
	i.env = map[string]string{"PUSHGATE_KEYS": key, "PUSHGATE_REDIS_URL": i.redis.URL()}
	i.files = map[string]string{
		"proc/sys/net/core/somaxconn":                "4096\n",
		"proc/sys/net/ipv4/tcp_max_syn_backlog":      "2048\n",
		"proc/sys/net/ipv4/ip_local_port_range":      "32768\t60999\n",
		"proc/sys/net/ipv4/tcp_mem":                  "1000\t2000\t3000\n",
		"proc/sys/net/netfilter/nf_conntrack_count":  "100\n",
		"proc/sys/net/netfilter/nf_conntrack_max":    "65536\n",
		"proc/net/sockstat":                          "sockets: used 100\nTCP: inuse 10 orphan 0 tw 0 alloc 12 mem 50\nUDP: inuse 1 mem 1\n",
		"sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
		"etc/logrotate.d/nginx":                      "/var/log/nginx/*.log {\n postrotate\n invoke-rc.d nginx rotate\n endscript\n}\n",
		"proc/1/comm":                                "systemd\n",
		"proc/1/cmdline":                             "/sbin/init\x00",
		"proc/net/tcp":                               "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n",
	}
	for range 4 {
		i.servers = append(i.servers, listen(t, http.NotFoundHandler()))
	}
	for n, s := range i.servers {
		i.listens(100+n, map[bool]string{true: "pushgate-edge", false: "pushgate-publis"}[n < 2], s)
	}
	for _, metrics := range []string{edgeMetrics, edgeMetrics, publisherMetrics} {
		a := &admin{status: http.StatusOK, metrics: metrics}
		a.server = listen(t, a)
		i.admins = append(i.admins, a)
	}
	i.readNginx()
	return i
}

// listens notes in the machine's files that a process has a server's socket.
func (i *installation) listens(pid int, name string, s *httptest.Server) {
	port := s.Listener.Addr().(*net.TCPAddr).Port
	i.files["proc/net/tcp"] += fmt.Sprintf("   0: 0100007F:%04X 00000000:0000 0A 00000000:00000000 00:00000000 00000000   0        0 %d 1\n", port, 9000+pid)
	i.files[fmt.Sprintf("proc/%d/comm", pid)] = name + "\n"
	i.files[fmt.Sprintf("proc/%d/cmdline", pid)] = "/usr/bin/" + name + "\x00"
	i.files[fmt.Sprintf("proc/%d/fd/3", pid)] = fmt.Sprintf("->socket:[%d]", 9000+pid)
}

// readNginx takes the files that users install, with other addresses.
func (i *installation) readNginx() {
	main, err := os.ReadFile("../../nginx/nginx.conf")
	if err != nil {
		i.t.Fatal(err)
	}
	i.nginx = map[string]string{"/etc/nginx/nginx.conf": string(main)}
	i.names = []string{"/etc/nginx/nginx.conf"}
	entries, err := nginx.Files.ReadDir("pushgate")
	if err != nil {
		i.t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() == "share.conf" || entry.Name() == "shared.conf" {
			continue // nginx.conf does not include them
		}
		text, err := nginx.Files.ReadFile("pushgate/" + entry.Name())
		if err != nil {
			i.t.Fatal(err)
		}
		name := "/etc/nginx/pushgate/" + entry.Name()
		i.nginx[name] = string(text)
		i.names = append(i.names, name)
	}
	upstreams := "/etc/nginx/pushgate/upstreams.conf"
	for n, port := range []string{"8010", "8011", "9010", "9011"} {
		i.nginx[upstreams] = strings.Replace(i.nginx[upstreams], "127.0.0.1:"+port, i.servers[n].Listener.Addr().String(), 1)
	}
	for _, port := range []string{"8012", "8013", "8014", "8015"} {
		i.edit("upstreams.conf", "    server 127.0.0.1:"+port+" max_fails=1 fail_timeout=1s;\n", "")
	}
}

// edit replaces all of a text in a file of nginx; it must be there.
func (i *installation) edit(file, from, to string) {
	i.t.Helper()
	for name, text := range i.nginx {
		if strings.HasSuffix(name, "/"+file) {
			if !strings.Contains(text, from) {
				i.t.Fatalf("no %q in %s", from, name)
			}
			i.nginx[name] = strings.ReplaceAll(text, from, to)
		}
	}
}

// clone returns an installation that can be changed without i, apart from its servers and Redis.
func (i *installation) clone(t *testing.T) *installation {
	c := *i
	c.t, c.env, c.files, c.nginx, c.names = t, maps.Clone(i.env), maps.Clone(i.files), maps.Clone(i.nginx), slices.Clone(i.names)
	c.admins = nil
	for _, a := range i.admins {
		copied := *a
		copied.server = listen(t, &copied)
		c.admins = append(c.admins, &copied)
	}
	return &c
}

// options writes the files and returns what to look at.
func (i *installation) options() Options {
	i.t.Helper()
	dir := i.t.TempDir()
	write := func(name, text string) {
		name = filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(name), 0o700)
		if target, link := strings.CutPrefix(text, "->"); err == nil && link {
			err = os.Symlink(target, name)
		} else if err == nil {
			err = os.WriteFile(name, []byte(text), 0o600)
		}
		if err != nil {
			i.t.Fatal(err)
		}
	}
	for name, text := range i.files {
		write(name, text)
	}
	dump := "nginx version: nginx/" + i.version + "\nnginx: the configuration file /etc/nginx/nginx.conf syntax is ok\n"
	for _, name := range i.names {
		dump += "# configuration file " + name + ":\n" + i.nginx[name] + "\n"
	}
	write("nginx-T", dump)
	o := Options{Nginx: filepath.Join(dir, "nginx-T"), Sample: i.sample, Body: i.body, Root: dir}
	for name, value := range i.env {
		o.Environ = append(o.Environ, name+"="+value)
	}
	for _, a := range i.admins {
		o.Admin = append(o.Admin, a.server.Listener.Addr().String())
	}
	return o
}

// faults runs the doctor, and returns what is wrong.
func (i *installation) faults() (all []Finding) {
	i.t.Helper()
	report, err := Run(i.t.Context(), i.options())
	if err != nil {
		i.t.Fatal(err)
	}
	var printed strings.Builder
	if err := report.JSON(&printed, English); err != nil {
		i.t.Fatal(err)
	}
	for _, secret := range []string{i.env["PUSHGATE_KEYS"], i.sample} {
		if strings.Contains(printed.String(), secret) {
			i.t.Errorf("a secret is printed: %s", printed.String())
		}
	}
	for _, f := range report.Findings {
		if f.State == Warning || f.State == Error {
			all = append(all, f)
		}
	}
	return all
}
