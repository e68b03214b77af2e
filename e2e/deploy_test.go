package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"pushgate/internal/config"
)

// compose is the part of docker-compose.yml that is checked here.
type compose struct {
	Services map[string]struct {
		Image       string
		Build       string
		Command     []string
		Environment map[string]string
		Ports       []string
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
		Healthcheck struct{ Test []string }
		Volumes     []string
		ReadOnly    bool     `yaml:"read_only"`
		Drop        []string `yaml:"cap_drop"`
		Security    []string `yaml:"security_opt"`
		Memory      string   `yaml:"mem_limit"`
		Networks    map[string]struct {
			Address string `yaml:"ipv4_address"`
		}
	}
}

// readCompose returns docker-compose.yml.
func readCompose(t *testing.T) (c compose) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(Repository(), "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCompose compares docker-compose.yml with the programs and nginx: addresses, ports and names
// of variables.
func TestCompose(t *testing.T) {
	c := readCompose(t)
	nginx, err := os.ReadFile(filepath.Join(Repository(), "nginx/compose.conf"))
	if err != nil {
		t.Fatal(err)
	}
	var listed, running []string
	for _, match := range regexp.MustCompile(`(?m)^\s*server (\S+) `).FindAllStringSubmatch(string(nginx), -1) {
		if match[1] != "{" {
			listed = append(listed, match[1])
		}
	}
	addresses := make(map[string]string)
	for name, s := range c.Services {
		for network, at := range s.Networks {
			if other, ok := addresses[at.Address]; ok || network != "pushgate" {
				t.Errorf("%s and %s are both %s", name, other, at.Address)
			}
			addresses[at.Address] = name
		}
		for other, on := range s.DependsOn {
			if _, ok := c.Services[other]; !ok || on.Condition != "service_healthy" {
				t.Errorf("%s depends on %s, which there is not, or not until it is healthy", name, other)
			}
		}
		if s.Build == "" {
			continue
		}
		var environ []string
		for key, value := range s.Environment {
			if strings.Contains(value, "${PUSHGATE_KEYS:?") {
				value = Key
			}
			environ = append(environ, key+"="+value)
		}
		var listen string
		switch program, _, _ := strings.Cut(name, "-"); program {
		case "edge":
			cfg, err := config.LoadEdge(environ)
			if err != nil || s.Command[0] != "/edge" {
				t.Errorf("%s: %v, %v", name, s.Command, err)
			}
			listen = cfg.Listen
		case "publisher":
			cfg, err := config.LoadPublisher(environ)
			if err != nil || s.Command[0] != "/publisher" {
				t.Errorf("%s: %v, %v", name, s.Command, err)
			}
			listen = cfg.Listen
		default:
			t.Errorf("%s is not a program", name)
		}
		redis := c.Services["redis"].Networks["pushgate"].Address
		if !strings.HasPrefix(s.Environment["PUSHGATE_REDIS_URL"], "redis://"+redis+":6379/") {
			t.Errorf("%s: Redis is at %s", name, redis)
		}
		running = append(running, strings.Replace(listen, "0.0.0.0", s.Networks["pushgate"].Address, 1))
	}
	slices.Sort(listed)
	slices.Sort(running)
	if !slices.Equal(listed, running) || len(running) != 8 {
		t.Errorf("nginx knows %v; there are %v", listed, running)
	}
	keepsMessages(t, c, "redis")
	if want := []string{"8893:8893", "127.0.0.1:8895:8895"}; !slices.Equal(c.Services["nginx"].Ports, want) {
		t.Errorf("ports %v, want %v: publishing is for this machine only", c.Services["nginx"].Ports, want)
	}
}
