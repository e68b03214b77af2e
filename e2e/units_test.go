package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pushgate/internal/config"
)

// unit returns the settings of one of the units of deploy/, each with its values in their order.
func unit(t *testing.T, name string) map[string][]string {
	t.Helper()
	settings, err := readUnit(filepath.Join(Repository(), "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

// leastPrivilege has the settings that every unit must have.
var leastPrivilege = map[string]string{
	"DynamicUser": "yes", "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes",
	"PrivateDevices": "yes", "ProtectProc": "invisible", "RestrictNamespaces": "yes", "RestrictSUIDSGID": "yes", "MemoryDenyWriteExecute": "yes",
	"RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "IPAddressDeny": "any", "IPAddressAllow": "localhost", "NoExecPaths": "/", "LimitCORE": "0",
	"SystemCallFilter": "@system-service", "SystemCallArchitectures": "native", "UMask": "0077", "ExecReload": "+/bin/kill -HUP $MAINPID",
}

// TestUnits checks the units of systemd for least privilege, and against the programs and nginx.
func TestUnits(t *testing.T) {
	env, err := os.ReadFile(filepath.Join(Repository(), "deploy/pushgate.env"))
	if err != nil {
		t.Fatal(err)
	}
	portals := filepath.Join(t.TempDir(), "portals.json")
	if err := os.WriteFile(portals, []byte(`{"portals": [{"keys": ["0123456789abcdef"]}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	upstreams, err := os.ReadFile(filepath.Join(Repository(), "nginx/pushgate/upstreams.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for program, port := range map[string]string{"edge": "8010", "publisher": "9010"} {
		u := unit(t, program+"@.service")
		for key, want := range leastPrivilege {
			if len(u[key]) == 0 || u[key][0] != want {
				t.Errorf("%s: %s is %q, want %q", program, key, u[key], want)
			}
		}
		for _, key := range []string{"MemoryMax", "LimitNOFILE", "TasksMax"} {
			if len(u[key]) != 1 || u[key][0] == "infinity" {
				t.Errorf("%s: %s is %q, not a bound", program, key, u[key])
			}
		}
		if len(u["SystemCallFilter"]) != 2 || !strings.HasPrefix(u["SystemCallFilter"][1], "~@privileged @resources") {
			t.Errorf("%s: %q", program, u["SystemCallFilter"])
		}
		if u["ExecStart"][0] != "/usr/bin/pushgate-"+program || u["ExecPaths"][0] != u["ExecStart"][0] {
			t.Errorf("%s: starts %q, may execute %q", program, u["ExecStart"], u["ExecPaths"])
		}
		environ := strings.Split(strings.ReplaceAll(string(env), "/etc/pushgate/portals.json", portals), "\n")
		for _, line := range u["Environment"] {
			environ = append(environ, strings.Fields(strings.NewReplacer("%i", port, "%H", "host").Replace(line))...)
		}
		var common config.Common
		var listen string
		if program == "edge" {
			c, err := config.LoadEdge(environ)
			if err != nil {
				t.Fatal(err)
			}
			common, listen = c.Common, c.Listen
		} else {
			c, err := config.LoadPublisher(environ)
			if err != nil {
				t.Fatal(err)
			}
			common, listen = c.Common, c.Listen
		}
		if !strings.Contains(string(upstreams), "server "+listen+" ") {
			t.Errorf("nginx does not know %s", listen)
		}
		seconds, err := strconv.Atoi(strings.TrimSuffix(u["TimeoutStopSec"][0], "s"))
		if err != nil || float64(seconds) < common.Drain.Seconds()+20 {
			t.Errorf("%s: %s to leave in, and a drain of %v", program, u["TimeoutStopSec"], common.Drain)
		}
	}
}

// TestUnitsOfSystemd makes systemd read the units, and checks how exposed they are.
func TestUnitsOfSystemd(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		Missing(t, "systemd-analyze is not installed (Debian: systemd)")
	}
	dir := t.TempDir()
	for name, file := range map[string]string{
		"edge@8010.service": "edge@.service", "edge-next@8010.service": "edge@.service", "publisher@9010.service": "publisher@.service",
		"pushgate-redis.service": "pushgate-redis.service", "pushgate.slice": "pushgate.slice",
	} {
		text, err := os.ReadFile(filepath.Join(Repository(), "deploy", file))
		if err != nil {
			t.Fatal(err)
		}
		// systemd checks that the programs exist, and they are not installed here.
		text = regexp.MustCompile(`/usr/bin/(pushgate|redis)-\w+`).ReplaceAll(text, []byte("/bin/true"))
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("systemd-analyze", "verify", path).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if strings.HasSuffix(name, ".slice") {
			continue
		}
		// The threshold is in tenths. systemd calls up to 2.0 OK.
		if out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=15", path).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// TestContainers: the programs run as user nobody in an otherwise empty image, on a read-only file
// system.
func TestContainers(t *testing.T) {
	file, err := os.ReadFile(filepath.Join(Repository(), "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	last := file[bytes.LastIndex(file, []byte("\nFROM ")):]
	if !bytes.HasPrefix(last, []byte("\nFROM scratch\n")) || !regexp.MustCompile(`(?m)^USER [1-9]\d*:[1-9]\d*$`).Match(last) {
		t.Errorf("the image is\n%s", last)
	}
	for name, s := range readCompose(t).Services {
		if s.Build == "" {
			continue
		}
		if !s.ReadOnly || !slices.Equal(s.Drop, []string{"ALL"}) || !slices.Contains(s.Security, "no-new-privileges:true") || s.Memory == "" {
			t.Errorf("%s has more rights than it needs: read-only %t, drops %q, security %q, memory %q", name, s.ReadOnly, s.Drop, s.Security, s.Memory)
		}
	}
}
