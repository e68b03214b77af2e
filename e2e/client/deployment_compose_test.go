package client

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"pushgate/e2e"
)

// compose is a deployment by a compose file. Compose's own loader reads and merges the files.
type compose struct {
	files    []string // its compose files, in its directory
	withEnv  []string // --env-file with the override file, as its top says
	envFiles []string // --env-file without it
	profiles []string
	image    string   // of the original; part of its name
	override string   // a file of deploy/compose
	rename   []string // names in that file, and those that the deployment has instead
	// The processes of the original, if one process of ours cannot be all of them.
	standIns []standIn
}

// standIn is a process of the server that is replaced.
type standIn struct {
	container, program, listen, admin string
}

// load reads the deployment's files and more.
func (c compose) load(r *row, envFiles []string, more ...string) *types.Project {
	r.Helper()
	var files []string
	for _, name := range c.files {
		if !filepath.IsAbs(name) {
			name = filepath.Join(r.dir, name)
		}
		files = append(files, name)
	}
	var absolute []string
	for _, name := range envFiles {
		absolute = append(absolute, filepath.Join(r.dir, name))
	}
	options, err := cli.NewProjectOptions(append(files, more...), cli.WithWorkingDirectory(r.dir), cli.WithName("deployment"),
		cli.WithEnv([]string{"PUSHGATE_KEY=" + r.changedKey()}), cli.WithEnvFiles(absolute...), cli.WithDotEnv, cli.WithProfiles(c.profiles))
	if err != nil {
		r.Fatal(err)
	}
	project, err := options.LoadProject(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	return project
}

// steps are: the original, our image with exactly its variables, the override file, what adopt
// writes, and back.
func (c compose) steps(r *row) (steps []step) {
	old := r.step("the original", asIs, func() []service { return c.original(r, true) })
	steps = append(steps, old)
	if len(r.refused) == 0 || r.changedKey() != r.key {
		image := r.step("our image with the variables of the original", asIs, func() []service { return c.original(r, false) })
		image.key = r.changedKey()
		steps = append(steps, image)
	}
	if c.override != "" {
		file := filepath.Join(r.push.Dir(), "docker-compose.override.yml")
		text, err := os.ReadFile(filepath.Join(e2e.Repository(), "deploy/compose", c.override))
		if err == nil {
			err = os.WriteFile(file, []byte(strings.NewReplacer(c.rename...).Replace(string(text))), 0o600)
		}
		if err != nil {
			r.Fatal(err)
		}
		steps = append(steps, r.step(c.override, asPlanned, func() []service { return c.services(r, c.load(r, c.withEnv, file)) }))
	}
	if r.adopts() {
		steps = append(steps, r.step("what adopt wrote", asAdopted, func() []service { return c.services(r, c.loadAs(r, r.plan, "compose.pushgate.yml up -d")) }))
		old = r.step("back", asBefore, func() []service {
			r.restored()
			return c.as(r, r.read("ROLLBACK.md"), " up -d").original(r, true)
		})
	}
	old.name = "back"
	return append(steps, old)
}

// as returns the deployment with the files and profiles of a command in a text, which ends so.
func (c compose) as(r *row, text, end string) compose {
	r.Helper()
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "docker" || !strings.HasSuffix(strings.TrimSpace(line), end) {
			continue
		}
		c.files, c.profiles, c.envFiles = nil, nil, nil
		for i, word := range words[:len(words)-1] {
			switch word {
			case "-f":
				c.files = append(c.files, words[i+1])
			case "--profile":
				c.profiles = append(c.profiles, words[i+1])
			case "--env-file":
				c.envFiles = append(c.envFiles, words[i+1])
			}
		}
		return c
	}
	r.Fatalf("no command that ends in %q:\n%s", end, text)
	return c
}

// loadAs reads the deployment as such a command does.
func (c compose) loadAs(r *row, text, end string) *types.Project {
	r.Helper()
	c = c.as(r, text, end)
	return c.load(r, c.envFiles)
}

// original returns the deployment as it is. A stand-in for the original has a Redis of its own, so
// that it and ours do not share a log.
func (c compose) original(r *row, old bool) (services []service) {
	if old && c.standIns != nil {
		return r.standIns(c.standIns)
	}
	for _, s := range c.services(r, c.load(r, c.envFiles)) {
		switch {
		case s.redis && old:
			continue
		case s.redis:
		case old:
			s.argv = []string{r.lenient, "serve"}
			s.env = append(s.env, "PUSHGATE_ALLOW_SHORT_KEYS=true", "PUSHGATE_REDIS_URL="+r.oldRedis())
		default:
			s.argv = []string{bin + "/pushgate", "serve"}
			s.env = mended(s.env, r.mend)
			if r.changedKey() != r.key { // the portal has a new one by then
				s.env = mended(s.env, map[string]string{"SECURITY_KEY": r.changedKey()})
			}
		}
		services = append(services, s)
	}
	return services
}

// services returns what runs of a project: Redis and push servers.
func (c compose) services(r *row, project *types.Project) (services []service) {
	r.Helper()
	for _, name := range project.ServiceNames() {
		s := project.Services[name]
		container := name
		if other, ok := strings.CutPrefix(s.NetworkMode, "service:"); ok {
			container = other
		}
		redis, ours := strings.Contains(s.Image, "redis"), s.Image == "pushgate"
		if !redis && !ours && (c.image == "" || !strings.Contains(s.Image, c.image)) {
			continue
		}
		if container == name {
			c.connect(r, s)
		}
		argv := append(slices.Clone(s.Entrypoint), s.Command...)
		switch {
		case redis:
			if len(argv) == 0 {
				argv = []string{"redis-server"}
			}
			for i := range argv { // mounted from there
				argv[i] = strings.Replace(argv[i], "/etc/redis/", filepath.Join(r.dir, "confs/redis")+"/", 1)
			}
			argv = append(argv, "--protected-mode", "no", "--dir", r.temp()) // as in its image
		case ours:
			if s.Build != nil {
				r.Errorf("%s: compose may build the image pushgate from the sources of the original", name)
			}
			argv[0] = bin + argv[0]
		}
		var env []string
		for key, value := range s.Environment {
			if value != nil {
				env = append(env, key+"="+*value)
			}
		}
		slices.Sort(env)
		services = append(services, service{name: name, container: container, argv: argv, env: env, redis: redis})
	}
	return services
}

// connect makes a service's container, with its names.
func (c compose) connect(r *row, s types.ServiceConfig) {
	r.Helper()
	address, names := "", []string{s.ContainerName}
	for _, n := range s.Networks {
		if n != nil {
			address, names = n.Ipv4Address, append(names, n.Aliases...)
		}
	}
	r.net.container(s.Name, address)
	for _, name := range names {
		if name != "" {
			r.net.name(name, r.net.containers[s.Name])
		}
	}
}

// refusals fails the test unless our image refuses exactly the deployment's variables, and says all
// that is expected.
func (c compose) refusals(r *row) {
	r.Helper()
	env := r.variables
	if env != nil {
		refuses(r.T, env, r.refused...)
		return
	}
	for _, s := range c.services(r, c.load(r, c.envFiles)) {
		if !s.redis {
			env = s.env
			refuses(r.T, env, r.refused...)
		}
	}
	if env == nil {
		r.Error("no service has the variables of the original")
	}
}

// mended returns variables with other values.
func mended(env []string, values map[string]string) []string {
	env = slices.Clone(env)
	for i, pair := range env {
		name, _, _ := strings.Cut(pair, "=")
		if value, ok := values[name]; ok {
			env[i] = name + "=" + value
		}
	}
	return env
}

// refuses fails the test unless our image ends with these variables, and says all of the texts.
func refuses(t *testing.T, env []string, texts ...string) {
	t.Helper()
	said := serve(t, env)
	for _, text := range texts {
		if !strings.Contains(said, text) {
			t.Errorf("refused without %q:\n%s", text, said)
		}
	}
}
