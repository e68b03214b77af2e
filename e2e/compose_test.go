package e2e

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"pushgate/internal/config"
)

// keepsMessages fails the test unless that service is a Redis that loses nothing at a restart or
// when it is full.
func keepsMessages(t *testing.T, c compose, name string) {
	t.Helper()
	s := c.Services[name]
	for _, pair := range []string{"--maxmemory-policy noeviction", "--appendonly yes"} {
		if !strings.Contains(strings.Join(s.Command, " "), pair) {
			t.Errorf("%s runs %v, without %s", name, s.Command, pair)
		}
	}
	if !slices.ContainsFunc(s.Volumes, func(v string) bool { return strings.HasSuffix(v, ":/data") }) {
		t.Errorf("%s has no volume for its data", name)
	}
	if len(s.Healthcheck.Test) == 0 {
		t.Errorf("%s has no health check", name)
	}
}

// portalsOf has, for each override file, where the portal's posts come from: from the network that
// the compose file of that deployment makes, or from those that Docker makes by itself.
var portalsOf = map[string][]string{
	"awwehdev.yml":    {"172.17.0.1", "192.168.16.1"},
	"bitrixdock.yml":  {"172.18.0.5"},
	"bitrixvm.yml":    {"172.19.0.4", "192.168.16.4"},
	"env-docker.yml":  {"10.10.10.5"},
	"ikarpovich.yml":  {"172.19.0.4", "192.168.16.4"},
	"matveynator.yml": {"10.100.0.5"},
	"rmn-lux.yml":     {"172.19.0.4", "192.168.16.4"},
}

// TestComposeOverrides: each override file starts programs with settings that they accept, over a
// Redis that keeps messages, takes the posts of its portal, and says at its top what to paste.
func TestComposeOverrides(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(Repository(), "deploy/compose/*.yml"))
	if err != nil || len(files) != 7 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			head, _, _ := strings.Cut(string(raw), "services:")
			if strings.Count(head, "\n#   ") != 4 || !strings.Contains(head, "deploy/compose/"+filepath.Base(file)) {
				t.Errorf("the four lines to paste are\n%s", head)
			}
			var c compose
			if err := yaml.Unmarshal(raw, &c); err != nil {
				t.Fatal(err)
			}
			portals := portalsOf[filepath.Base(file)]
			if len(portals) == 0 {
				t.Error("no portal is known to post there")
			}
			programs := 0
			for name, s := range c.Services {
				if s.Image != "pushgate" {
					keepsMessages(t, c, name)
					continue
				}
				programs++
				var environ []string
				for key, value := range s.Environment {
					if strings.HasPrefix(value, "${") && strings.Contains(value, ":?") {
						value = Key
					}
					environ = append(environ, key+"="+value)
				}
				switch {
				case slices.Equal(s.Command, []string{"/edge"}):
					_, err = config.LoadEdge(environ)
				case slices.Equal(s.Command, []string{"/publisher"}):
					var publisher config.Publisher
					publisher, err = config.LoadPublisher(environ)
					for _, address := range portals {
						if !slices.ContainsFunc(publisher.Allow, func(n netip.Prefix) bool { return n.Contains(netip.MustParseAddr(address)) }) {
							t.Errorf("%s refuses the posts of a portal at %s", name, address)
						}
					}
				default:
					t.Errorf("%s runs %v", name, s.Command)
				}
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				for other := range s.DependsOn {
					if !strings.HasPrefix(s.Environment["PUSHGATE_REDIS_URL"], "redis://"+other+":6379/") {
						t.Errorf("%s waits for %s, and asks %s", name, other, s.Environment["PUSHGATE_REDIS_URL"])
					}
				}
			}
			if programs != 2 {
				t.Errorf("%d programs", programs)
			}
		})
	}
}
