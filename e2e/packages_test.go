package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.yaml.in/yaml/v3"
)

// packed is what deploy/nfpm.yaml says of a package.
type packed struct {
	Contents []struct {
		Src, Dst, Type string
		Info           struct {
			Mode  uint32
			Group string
		} `yaml:"file_info"`
	}
	Scripts map[string]string
}

func readPacked(t *testing.T, path string) (p packed) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Repository(), path))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPackages: the descriptions name files that exist, all units are in them, settings survive an
// upgrade, and nobody but root and the programs reads what may contain a password.
func TestPackages(t *testing.T) {
	installed := map[string]string{}
	for _, path := range []string{"deploy/nfpm.yaml", "deploy/bitrixvm/nfpm.yaml"} {
		p := readPacked(t, path)
		for _, c := range p.Contents {
			installed[c.Dst] = c.Src
			if c.Src != "" && !strings.Contains(c.Src, "$") {
				if found, err := filepath.Glob(filepath.Join(Repository(), c.Src)); err != nil || len(found) == 0 {
					t.Errorf("%s: there is no %s", path, c.Src)
				}
			}
			if strings.HasPrefix(c.Dst, "/etc/") && c.Type != "dir" && c.Type != "config|noreplace" {
				t.Errorf("%s: an upgrade would replace %s", path, c.Dst)
			}
		}
		for _, script := range p.Scripts {
			if _, err := os.Stat(filepath.Join(Repository(), script)); err != nil {
				t.Error(err)
			}
		}
	}
	units, err := filepath.Glob(filepath.Join(Repository(), "deploy/*.s[el][ri][vc][ie]*"))
	if err != nil || len(units) == 0 {
		t.Fatal(units, err)
	}
	for _, path := range units {
		if name := filepath.Base(path); installed["/usr/lib/systemd/system/"+name] != "deploy/"+name {
			t.Errorf("%s is in no package", name)
		}
	}
	if installed["/usr/lib/systemd/system/edge-next@.service"] != "deploy/edge@.service" {
		t.Error("an edge has no unit that is its successor")
	}
	for _, c := range readPacked(t, "deploy/nfpm.yaml").Contents {
		if slices.Contains([]string{"/etc/pushgate/pushgate.env", "/etc/pushgate/redis.conf"}, c.Dst) && c.Info.Mode&0o007 != 0 {
			t.Errorf("everybody can read %s", c.Dst)
		}
	}
}

// TestTakingTurns: the two units of an edge are one user with one socket, and an edge that was
// replaced stays away.
func TestTakingTurns(t *testing.T) {
	u := unit(t, "edge@.service")
	want := map[string]string{"User": "pushgate-%i", "RuntimeDirectory": "pushgate-%i", "RuntimeDirectoryMode": "0700", "Restart": "on-failure"}
	for key, value := range want {
		if !slices.Equal(u[key], []string{value}) {
			t.Errorf("%s is %q, want %q", key, u[key], value)
		}
	}
	if !slices.Contains(u["Environment"], "PUSHGATE_HANDOVER=/run/pushgate-%i/edge.sock") {
		t.Errorf("no hand-over: %q", u["Environment"])
	}
}

// TestBitrixVM: the drop-ins listen where BitrixVM's nginx calls, on the ports that it knows, and
// let in and take posts from the same networks.
func TestBitrixVM(t *testing.T) {
	if listen := unit(t, "bitrixvm/listen.conf")["Environment"]; !slices.Equal(listen, []string{"PUSHGATE_LISTEN=0.0.0.0:%i"}) {
		t.Errorf("it listens at %q", listen)
	}
	connect := unit(t, "bitrixvm/networks.conf")["IPAddressAllow"]
	post := unit(t, "bitrixvm/bitrixvm.env")["PUSHGATE_PUBLISH_ALLOW"]
	if len(connect) != 1 || len(post) != 1 || post[0] != "127.0.0.0/8,::1/128,"+strings.ReplaceAll(connect[0], " ", ",") {
		t.Errorf("%q may connect, %q may post", connect, post)
	}
	if old := unit(t, "bitrixvm/push-server.conf"); !slices.Equal(old["ConditionPathExists"],
		[]string{"!/etc/systemd/system/multi-user.target.wants/edge@8010.service"}) {
		t.Errorf("the old server starts if %q", old)
	}
}

// TestRedisOfThePackage runs Redis with the settings that the package brings, in a directory of its
// own: it never evicts, writes a file, and has no port.
func TestRedisOfThePackage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(Repository(), "deploy/redis.conf"))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "pushgate-redis-") // its path is short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	config := regexp.MustCompile(`/(run|var/lib)/pushgate-redis`).ReplaceAll(text, []byte(dir))
	path := filepath.Join(dir, "redis.conf")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.CommandContext(t.Context(), "redis-server", path)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: filepath.Join(dir, "redis.sock")})
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), readyWithin)
	defer cancel()
	for client.Ping(ctx).Err() != nil {
		if ctx.Err() != nil {
			t.Fatal("Redis does not start with deploy/redis.conf")
		}
		time.Sleep(20 * time.Millisecond)
	}
	for key, want := range map[string]string{"maxmemory-policy": "noeviction", "appendonly": "yes", "port": "0", "save": ""} {
		if got, err := client.ConfigGet(ctx, key).Result(); err != nil || got[key] != want {
			t.Errorf("%s is %q, want %q (%v)", key, got[key], want, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "redis.sock")); err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("everybody may use the socket: %v, %v", info.Mode(), err)
	}
}
