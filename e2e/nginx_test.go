package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// temporary returns the directives by which nginx keeps its temporary files in a directory, since
// not every user may write where it usually does.
func temporary(dir string) (directives string) {
	for _, module := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		directives += fmt.Sprintf("%s_temp_path %s/%s; ", module, dir, module)
	}
	return directives
}

// TestNginxFiles lets nginx read every configuration that is to be installed, with other
// directories for what it writes.
func TestNginxFiles(t *testing.T) {
	for _, name := range []string{"nginx.conf", "compose.conf"} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(Repository(), "nginx"))); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{name, "pushgate/proxy.conf"} {
			text, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.NewReplacer("/var/log/nginx/", dir+"/", "/run/", dir+"/", "\nhttp {", "\nhttp { "+temporary(dir)).Replace(string(text))
			if err := os.WriteFile(filepath.Join(dir, file), []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		pid := fmt.Sprintf("error_log stderr; pid %s/pid;", dir)
		if name == "nginx.conf" {
			pid = "error_log stderr;" // it names its own
		}
		prefix := t.TempDir()
		out, err := exec.Command("nginx", "-t", "-e", "stderr", "-p", prefix, "-c", filepath.Join(dir, name), "-g", pid).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if written, err := os.ReadDir(prefix); err != nil || len(written) > 0 {
			t.Errorf("%s: nginx writes %v into its prefix, which the packages have in /usr/share: %v", name, written, err)
		}
	}
}

// TestBehindYourNginx includes the folder as docs/install/linux.md says, in the nginx of a portal.
// Its prefix is not the directory of its nginx.conf, which includes another file for the portal: so
// are the packages of Debian and EL. A subscriber polls what was posted through it, and the
// portal's pages are where they were.
func TestBehindYourNginx(t *testing.T) {
	w := Start(t, Options{Bin: bin, Edges: 1, Publishers: 1})
	if err := w.Nginx.Stop(); err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile(filepath.Join(Repository(), "docs/install/linux.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)\n## Behind your nginx\n.*?\n```nginx\n(.*?)```").FindSubmatch(document)
	if block == nil {
		t.Fatal("docs/install/linux.md does not say what to include")
	}
	dir := t.TempDir()
	portal := string(block[1])
	for _, edit := range [][2]string{
		{"    # What is there already stays. Then:\n", "access_log off; gzip on; proxy_set_header X-Real-IP $remote_addr; " + temporary(dir)},
		{"        # The portal's public server block, with what is there already. Then:\n",
			"listen " + w.Public + "; location / { return 200 index; } location ~ \\.php$ { return 200 php; } location ~* ^/bitrix/(modules|local_cache)/ { deny all; }\n"},
		{"listen 127.0.0.1:8895;", "listen " + w.Internal + ";"},
	} {
		if strings.Count(portal, edit[0]) != 1 {
			t.Fatalf("no %q in\n%s", edit[0], portal)
		}
		portal = strings.ReplaceAll(portal, edit[0], edit[1])
	}
	for _, name := range []string{"prefix", "nginx/sites"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// The files of the world are those of the repository, with its addresses in upstreams.conf.
	if err := os.CopyFS(filepath.Join(dir, "nginx/pushgate"), os.DirFS(filepath.Join(w.dir, "nginx/pushgate"))); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"nginx.conf": "pid " + dir + "/pid; events {}\ninclude sites/portal.conf;\n", "sites/portal.conf": portal} {
		if err := os.WriteFile(filepath.Join(dir, "nginx", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	page := func(ctx context.Context, path, want string) error {
		body, err := get(ctx, "http://"+w.Public+path)
		if err == nil && body != want {
			err = fmt.Errorf("%s is %q, want %q", path, body, want)
		}
		return err
	}
	w.Nginx = &Process{Name: "nginx", Addr: w.Public, world: w,
		argv:  []string{"nginx", "-e", dir + "/error.log", "-p", dir + "/prefix", "-c", dir + "/nginx/nginx.conf", "-g", "daemon off;"},
		ready: func(ctx context.Context) error { return page(ctx, "/", "index") }}
	if err := w.Nginx.Start(t.Context()); err != nil {
		t.Fatal(err)
	}

	id := NewChannel()
	c := &Client{Address: w.Public, List: w.Signed(id), Dialect: Text{}, HTTP: http.DefaultClient}
	polled := make(chan error, 1)
	go func() {
		status, err := c.Poll(t.Context())
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d", status)
		}
		polled <- err
	}()
	w.await(t, longPolls, 1)
	if status, err := w.Post(t.Context(), `"posted"`, false, id); err != nil || status != http.StatusOK {
		t.Fatalf("the portal's post: %d, %v", status, err)
	}
	if err := <-polled; err != nil || c.Arrived() != 1 || c.Arrivals()[0].Body != `"posted"` {
		t.Errorf("the poll: %v, received %v", err, c.Arrivals())
	}
	for path, want := range map[string]string{"/crm/": "index", "/bitrix/admin/index.php": "php"} {
		if err := page(t.Context(), path, want); err != nil {
			t.Error(err)
		}
	}
	if status, _, err := w.Do(t.Context(), http.MethodPost, "http://"+w.Public+"/bitrix/pub/?CHANNEL_ID="+id.String(), `"not by the portal"`); err != nil || status != http.StatusOK {
		t.Errorf("what the public server block has for /bitrix/pub/ is the portal's own page: %d, %v", status, err)
	}
	if n, err := w.Publishers[0].Metric(t.Context(), "pushgate_published_total"); err != nil || n != 1 {
		t.Errorf("%v messages were published, %v", n, err)
	}
}
