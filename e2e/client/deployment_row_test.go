package client

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pushgate/e2e"
	"pushgate/internal/channel"
	"pushgate/internal/testkit"
)

// row is one deployment while it is tested.
type row struct {
	*testing.T
	deployment
	net     *subnet
	push    *e2e.World
	portal  *portal
	page    *tab
	lenient string // a pushgate that accepts the published keys, for stand-ins
	out     string // what adopt wrote
	plan    string // what it printed
	dir     string
	old     string // address of the stand-ins' Redis

	now               step
	running           []*e2e.Process
	left              []*e2e.Process // that ran in earlier steps
	said              int            // messages of the portal
	configs           int            // that the page may have asked for
	temps, generation int
	chromium          context.Context
	// The first message to this step's log, whose ids begin with that second or an earlier one.
	posted time.Time
}

// userID is the user of all pages.
const userID = 1

func (r *row) run(chromium context.Context) {
	r.dir = filepath.Join(e2e.Repository(), r.deployment.dir)
	r.chromium = chromium
	r.portal = newPortal(r.T, r.host(), r.version, !r.poll)
	r.Cleanup(func() {
		for _, p := range r.running {
			p.Kill() // without the seconds that they take to leave
		}
		r.push.Edges = append(r.push.Edges, r.left...) // their logs are looked at
	})
	if len(r.refused) > 0 {
		r.refusals(r)
	}
	if r.adopts() {
		r.adopt()
	}
	for _, s := range r.steps(r) {
		if s.name == "back" {
			// The stand-in does not know the page's last id, which is of another log, and sends
			// again what it holds. The page skips it. Before that, nothing may come twice.
			r.page.check()
			r.page.tolerates = "Duplicate message"
		}
		r.change(s)
		if r.page == nil {
			r.page = r.portal.open(r.T, chromium, userID)
			// The delay before it asks for a new key is random. This makes it the shortest.
			evaluate[bool](r.page, "(random => Math.random = () => random() / 100)(Math.random), true")
			r.configs = 1
		}
		r.serves()
		if r.check != nil {
			r.check(r)
		}
		if r.Failed() {
			r.Fatalf("in step %q; the client says:\n%s", s.name, strings.Join(r.page.said(), "\n"))
		}
	}
}

// host is the name by which browsers come.
func (r *row) host() string { return r.name + ".example.com" }

// runNginx has nginx serve an http block. It starts nginx, or has it read the new configuration.
func (r *row) runNginx(http string) {
	r.Helper()
	dir := filepath.Join(r.push.Dir(), "nginx")
	r.generation++
	where := fmt.Sprintf("/generation-%d", r.generation)
	// A path by which the new configuration can be told from the old one.
	http = strings.Replace(http, "listen ", "location = "+where+" { return 204; }\nlisten ", 1)
	text := "pid nginx.pid; error_log error.log; events {} http { access_log off; client_body_temp_path b; proxy_temp_path p; " +
		"fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;\n" + http + "\n}\n"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(dir+"/nginx.conf", []byte(text), 0o600); err != nil {
		r.Fatal(err)
	}
	there := func(ctx context.Context) error {
		status, _, err := r.push.Do(ctx, "GET", fmt.Sprintf("http://%s/generation-%d", r.host(), r.generation), "")
		if err == nil && status != 204 {
			err = fmt.Errorf("status %d", status)
		}
		return err
	}
	if r.push.Nginx != nil && strings.Contains(r.plan, "systemctl restart nginx") {
		r.push.Nginx.Kill()
		if err := r.push.Nginx.Start(r.Context()); err != nil {
			r.Fatal(err)
		}
		return
	}
	if r.push.Nginx != nil {
		if err := r.push.Nginx.Signal(syscall.SIGHUP); err != nil {
			r.Fatal(err)
		}
		if err := r.push.Nginx.Await(r.Context(), there); err != nil {
			r.Fatal(err)
		}
		return
	}
	address := machine
	if r.web != "" {
		r.net.container(r.web, "")
		address = r.net.containers[r.web]
	}
	for _, name := range append(r.webNames, r.host()) {
		r.net.name(name, address)
	}
	if written := filepath.Join(r.out, "nginx/pushgate"); r.out != "" {
		if _, err := os.Stat(written); err == nil {
			shell(r.T, "cp -r "+written+" "+dir)
		}
	}
	r.push.Nginx = r.push.Program("nginx", inside(r.web, nil, "nginx", "-e", dir+"/error.log", "-p", dir, "-c", dir+"/nginx.conf", "-g", "daemon off;"), nil, there)
	if err := r.push.Nginx.Start(r.Context()); err != nil {
		r.Fatal(err)
	}
}

// serves fails the test unless the installation works as it now is: the page receives what the
// portal posts, over a connection to this step's programs; the portal's self-test is green; the
// page has not asked the portal more often than planned; nobody posts through the public address,
// once that is planned.
func (r *row) serves() {
	r.Helper()
	r.says(func() error {
		_, err := r.push.Post(r.Context(), say(r.said), true, private(userID))
		r.posted = time.Now()
		return err
	})
	if r.version >= 4 {
		r.says(func() error {
			return r.push.Portals[0].PostBinary(r.Context(), true, e2e.Letter{Body: say(r.said), Channels: []channel.ID{private(userID), shared}})
		})
	}
	if r.rpc && r.now.state.changed() {
		r.says(func() error {
			return r.push.Portals[0].PostRPC(r.Context(), true, e2e.Letter{Body: say(r.said), Channels: []channel.ID{private(userID)}})
		})
	}
	transport := "websocket"
	if r.poll {
		transport = "longpoll"
	}
	r.page.await("one connection to the programs of this step", func() bool {
		total, err := r.push.Total(r.Context(), `pushgate_connections{transport="`+transport+`"}`)
		if err != nil {
			r.Fatal(err)
		}
		return total == 1
	})
	e2e.SelfTest(r.T, r.push)
	if got := len(r.portal.configs(r.T, userID)); got != r.configs {
		r.Errorf("the page has asked for a configuration %d times, want %d", got, r.configs)
	}
	if r.now.state.changed() {
		status, _, err := r.push.Do(r.Context(), http.MethodPost, "http://"+r.host()+"/bitrix/pub/?CHANNEL_ID="+private(userID).String(), `"by somebody"`)
		if err != nil || status == http.StatusOK {
			r.Errorf("somebody's post through the public address: status %d, %v", status, err)
		}
	}
}

// says has the portal post the next message, which the page must receive.
func (r *row) says(post func() error) {
	r.Helper()
	r.said++
	if err := post(); err != nil {
		r.Errorf("the portal's post of message %d: %v", r.said, err)
		return
	}
	r.page.expectWithin(2*testkit.Patience, 1, r.said)
}
