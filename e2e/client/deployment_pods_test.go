package client

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"
)

// pods is a deployment in Kubernetes. A pod has the network of a container; nginx is the Ingress.
type pods struct {
	original []service // the variables of the original's pods
}

// steps are: the original, our image with its variables as they should be, what adopt writes, our
// chart if it has been rendered, and back.
func (p pods) steps(r *row) []step {
	old := r.step("the original", asIs, func() []service { return p.pods(r, true) })
	steps := []step{old,
		r.step("our image with the variables of the original", asIs, func() []service { return p.pods(r, false) }),
		r.step("what adopt wrote", asAdopted, func() []service {
			return p.manifests(r, r.out+"/kubernetes/secret.yaml", r.out+"/kubernetes/pushgate.yaml")
		})}
	if file := os.Getenv("TEST_CHART"); file != "" {
		chart := r.step("our chart", asPlanned, func() []service { return p.manifests(r, file) })
		steps = append(steps, chart)
	}
	old.name = "back"
	return append(steps, old)
}

func (p pods) refusals(r *row) {
	r.Helper()
	for _, s := range p.original {
		texts := r.refused
		for name, value := range r.mend {
			if slices.Contains(s.env, name+"=1") {
				texts = append(texts, name+": ", name+"="+value)
			}
		}
		refuses(r.T, s.env, texts...)
	}
}

// pods returns the original's pods, and its Redis.
func (p pods) pods(r *row, old bool) (services []service) {
	r.net.container("redis", "")
	if !old {
		argv := []string{"redis-server", "--requirepass", "a-password-of-redis", "--protected-mode", "no", "--dir", r.temp()}
		services = append(services, service{name: "redis", container: "redis", argv: argv, redis: true})
	}
	for _, s := range p.original {
		r.net.container(s.name, "")
		s.container, s.argv = s.name, []string{bin + "/pushgate", "serve"}
		s.env = mended(s.env, r.mend)
		if old {
			s.argv[0], s.env = r.lenient, append(s.env, "PUSHGATE_REDIS_URL="+r.oldRedis())
		}
		services = append(services, s)
	}
	return services
}

// manifest is what matters here of a manifest.
type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Strings  map[string]string `yaml:"stringData"`
	Spec     struct {
		Template struct {
			Spec struct {
				Containers []struct {
					Command, Args []string
					Env           []struct {
						Name, Value string
						From        struct {
							Secret struct{ Name, Key string } `yaml:"secretKeyRef"`
						} `yaml:"valueFrom"`
					}
					EnvFrom []struct {
						Map    struct{ Name string } `yaml:"configMapRef"`
						Secret struct{ Name string } `yaml:"secretRef"`
					} `yaml:"envFrom"`
				}
			}
		}
	}
}

// manifests returns one pod of each program in the files.
func (p pods) manifests(r *row, files ...string) (services []service) {
	r.Helper()
	values := map[string]map[string]string{} // by kind and name
	var all []manifest
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			r.Fatal(err)
		}
		for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
			var m manifest
			if err := d.Decode(&m); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				r.Fatal(err)
			}
			all = append(all, m)
			values[m.Kind+m.Metadata.Name] = m.Data
			if m.Strings != nil {
				values[m.Kind+m.Metadata.Name] = m.Strings
			}
		}
	}
	for _, m := range all {
		if m.Kind != "Deployment" && m.Kind != "StatefulSet" {
			continue
		}
		c := m.Spec.Template.Spec.Containers[0]
		s := service{name: m.Metadata.Name, container: m.Metadata.Name, argv: append(c.Command, c.Args...), redis: m.Kind == "StatefulSet"}
		r.net.container(s.container, "")
		if s.redis {
			if len(c.Command) == 0 {
				s.argv = append([]string{"redis-server"}, s.argv...)
			}
			s.argv = append(slices.DeleteFunc(s.argv, func(word string) bool { return word == "--dir" || word == "/data" }), "--protected-mode", "no", "--dir", r.temp())
			services = append(services, s)
			continue
		}
		s.argv[0] = filepath.Join(bin, s.argv[0])
		for _, from := range c.EnvFrom {
			for name, value := range values["ConfigMap"+from.Map.Name] {
				s.env = append(s.env, name+"="+value)
			}
			for name, value := range values["Secret"+from.Secret.Name] {
				s.env = append(s.env, name+"="+value)
			}
		}
		for _, e := range c.Env {
			switch {
			case e.Name == "PUSHGATE_ID":
				e.Value = s.name
			case e.From.Secret.Key != "":
				e.Value = values["Secret"+e.From.Secret.Name][e.From.Secret.Key]
			}
			s.env = append(s.env, e.Name+"="+e.Value)
		}
		services = append(services, s)
	}
	return services
}
