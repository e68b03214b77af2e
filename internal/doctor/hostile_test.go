package doctor

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"pushgate/internal/store"
)

// silent accepts connections and never answers.
func silent(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns = append(conns, conn)
		}
	})
	t.Cleanup(func() {
		listener.Close()
		accepting.Wait()
		for _, conn := range conns {
			conn.Close()
		}
	})
	return listener.Addr().String()
}

// states returns the state of each check.
func states(report Report) map[string]State {
	all := map[string]State{}
	for _, f := range report.Findings {
		all[f.ID] = f.State
	}
	return all
}

// TestNothingAnswers: whoever does not answer is named, and the doctor returns in time.
func TestNothingAnswers(t *testing.T) {
	i := newInstallation(t)
	i.env["PUSHGATE_REDIS_URL"] = "redis://" + silent(t)
	for _, s := range i.servers {
		i.edit("upstreams.conf", s.Listener.Addr().String(), silent(t))
	}
	o := i.options()
	o.Admin = []string{silent(t), silent(t)}
	o.Portal, o.Publish = "http://"+silent(t), "http://"+silent(t)+"/bitrix/pub/"
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	begin := time.Now()
	report, err := Run(ctx, o)
	if took := time.Since(begin); err != nil || took > 10*time.Second {
		t.Errorf("%v after %v", err, took)
	}
	got := states(report)
	for _, id := range []string{"redis.answers", "processes.ready", "processes.found", "nginx.upstreams", "portal.post"} {
		if got[id] != Error {
			t.Errorf("%s: %s", id, got[id])
		}
	}
	for _, id := range []string{"redis.eviction", "processes.versions", "portal.poll"} {
		if got[id] != Unknown {
			t.Errorf("%s: %s", id, got[id])
		}
	}
	if Timeout > 30*time.Second {
		t.Error(Timeout)
	}
}

// TestEndlessAnswers: of an answer without end only the beginning is read.
func TestEndlessAnswers(t *testing.T) {
	i := newInstallation(t)
	endless := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		line := strings.Repeat("pushgate_subscribed 1 \x1b[2J<b>\n", 1000)
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, line); err != nil {
				return
			}
		}
	}))
	o := i.options()
	o.Admin = []string{endless.Listener.Addr().String()}
	begin := time.Now()
	report, err := Run(t.Context(), o)
	if took := time.Since(begin); err != nil || took > Timeout {
		t.Errorf("%v after %v", err, took)
	}
	for _, f := range report.Findings {
		for _, e := range f.evidence() {
			if strings.Contains(e, "\x1b") || len([]rune(e)) > maxEvidenceText+10 {
				t.Errorf("%s: %q", f.ID, e)
			}
		}
	}
}

// TestMetricsFilledTheMemory: anybody can start a program with the name of ours, which the doctor
// then asks. It kept all that each of up to 200 of them answered, 8 MB of names.
func TestMetricsFilledTheMemory(t *testing.T) {
	endless := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "pushgate_subscribed 1\n%s 1\n", strings.Repeat("x", 60_000))
		for i := range 20 * maxSeries {
			fmt.Fprintf(w, "m%d 1\n", i)
		}
		fmt.Fprint(w, "pushgate_subscribed 1\n")
	}))
	p := askProcess(t.Context(), endless.Listener.Addr().String())
	size := 0
	for name := range p.metrics {
		size += len(name)
	}
	if p.err != nil || len(p.metrics) != maxSeries || size > maxSeries*maxSeriesName || p.metrics["pushgate_subscribed"] != 2 {
		t.Errorf("%v, %d metrics, %d bytes, %v", p.err, len(p.metrics), size, p.metrics["pushgate_subscribed"])
	}
}

// TestOddNginx: what is no output of nginx -T, or makes no sense, is said to be so, and is no fault
// of the installation.
func TestOddNginx(t *testing.T) {
	mark := "# configuration file /etc/nginx/nginx.conf:\n"
	good := newInstallation(t)
	for name, text := range map[string]string{
		"nothing":        "",
		"no mark":        "http { server { listen 80; } }",
		"broken":         mark + "http { server {",
		"includes":       mark + strings.Repeat("include nginx.conf; ", 40),
		"deep":           mark + strings.Repeat("a { ", 60) + strings.Repeat("} ", 60),
		"too many":       mark + strings.Repeat("a;\n", 201_000),
		"very long line": mark + strings.Repeat("x", 1<<20),
	} {
		o := good.options()
		if err := os.WriteFile(o.Nginx, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		report, err := Run(t.Context(), o)
		if err != nil || states(report)["nginx.config"] != Unknown || report.Worst() != OK {
			t.Errorf("%s: %v, %s, %s", name, err, states(report)["nginx.config"], report.Worst())
		}
	}
	o := good.options()
	o.Nginx += ".away"
	if report, err := Run(t.Context(), o); err != nil || states(report)["nginx.config"] != Unknown {
		t.Error(err, states(report)["nginx.config"])
	}
	o.Portal = "portal.example.com"
	if _, err := Run(t.Context(), o); err == nil {
		t.Error("an address without https")
	}
}

// FuzzDump: no output of nginx -T ends the program.
func FuzzDump(f *testing.F) {
	f.Add("# configuration file /etc/nginx/nginx.conf:\nhttp { include a*; server { location ~* ^/bitrix/sub { proxy_pass http://x; } } }\n# configuration file /etc/nginx/a.conf:\nupstream x { server a; }")
	f.Add("# configuration file a:\nserver { location { } log_format; access_log; proxy_pass; listen; }")
	f.Fuzz(func(_ *testing.T, text string) {
		e := &exam{}
		c, err := parseDump(text)
		if err != nil {
			return
		}
		e.nginx, e.root = c, "/nonexistent"
		s := newSheet(nginxIDs)
		for _, l := range c.routes.websockets {
			e.upgrade(s, l)
		}
		for _, l := range c.routes.subscribers() {
			e.subscriberLocation(s, l)
		}
		publicPosts(s, c.routes.publish)
		e.connections(s)
		c.addresses()
	})
}

// TestNodes: what a server may say of itself that a real one does not say on demand.
func TestNodes(t *testing.T) {
	good := store.Node{Address: "a:1", Version: "7.0.15", Eviction: "noeviction", Memory: 10, MaxMemory: 100, AOF: "on", PubSub: "33554432 8388608 60",
		Peak: 50, Uptime: 48 * time.Hour, Fork: time.Millisecond, Writes: "ok"}
	for name, c := range map[string]struct {
		change func(*store.Node)
		want   string
		state  State
	}{
		"good":          {func(*store.Node) {}, "", OK},
		"an old one":    {func(n *store.Node) { n.Version = "6.0.16" }, "redis.version", Error},
		"disk full":     {func(n *store.Node) { n.Writes = "err" }, "redis.writes", Error},
		"replica":       {func(n *store.Node) { n.Replicas, n.Behind = 1, []string{"ip=b,state=wait_bgsave"} }, "redis.replicas", Warning},
		"slow fork":     {func(n *store.Node) { n.Fork = time.Second }, "redis.fork", Warning},
		"its peak":      {func(n *store.Node) { n.Peak = 90 }, "redis.memory", Warning},
		"it is growing": {func(n *store.Node) { n.Peak, n.Uptime = 10, time.Hour }, "redis.memory", Warning},
		"just started":  {func(n *store.Node) { n.Peak, n.Uptime = 10, time.Minute }, "", OK},
		"it is managed": {func(n *store.Node) { n.PubSub, n.MaxMemory, n.Eviction = "", -1, "" }, "", OK},
	} {
		n := good
		c.change(&n)
		s := newSheet(redisIDs)
		judgeNode(s, n)
		for _, f := range s.findings("redis") {
			if wrong := f.State == Warning || f.State == Error; wrong != (f.ID == c.want) || wrong && f.State != c.state {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
}
