package e2e

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"pushgate/internal/config"
)

// workload is what matters here of a rendered Deployment.
type workload struct {
	Kind string
	Spec struct {
		Template struct {
			Metadata struct{ Annotations map[string]string }
			Spec     struct {
				Grace      int   `yaml:"terminationGracePeriodSeconds"`
				Links      *bool `yaml:"enableServiceLinks"`
				Containers []struct {
					Command   []string
					Env       []struct{ Name, Value string }
					Lifecycle struct {
						PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
					}
				}
			}
		}
	}
}

// TestChart: the programs take the settings of the rendered chart, run with them, and leave within
// the grace period. scripts/chart-test renders it.
func TestChart(t *testing.T) {
	file := os.Getenv("TEST_CHART")
	if file == "" {
		t.Skip("scripts/chart-test renders the chart")
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	settings := make(map[string][]string) // by program
	var left time.Duration                // for a program to leave, after preStop
	for decoder := yaml.NewDecoder(bytes.NewReader(raw)); ; {
		var w workload
		if err := decoder.Decode(&w); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if w.Kind != "Deployment" {
			continue
		}
		// A key of 16 letters must not be found by its sum, which more people can read.
		if sum := w.Spec.Template.Metadata.Annotations["checksum/keys"]; len(sum) < 4 || len(sum) > 8 {
			t.Errorf("the sum of the keys is %q", sum)
		}
		pod := w.Spec.Template.Spec
		// A release that is called pushgate has Services whose variables would be unknown settings.
		if pod.Links == nil || *pod.Links {
			t.Error("Kubernetes puts variables such as PUSHGATE_SUB_PORT into the environment")
		}
		c := pod.Containers[0]
		var environ []string
		for _, e := range c.Env {
			switch e.Name { // from a Secret, and from the pod
			case "PUSHGATE_KEYS":
				e.Value = Key
			case "PUSHGATE_ID":
				e.Value = "pod"
			}
			environ = append(environ, e.Name+"="+e.Value)
		}
		var drain time.Duration
		switch program := c.Command[1]; program {
		case "edge":
			cfg, err := config.LoadEdge(environ)
			if err != nil {
				t.Error(err)
			}
			drain = cfg.Drain
		case "publisher":
			cfg, err := config.LoadPublisher(environ)
			if err != nil {
				t.Error(err)
			}
			drain = cfg.Drain
		}
		left = time.Duration(pod.Grace-c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
		if left < drain+10*time.Second {
			t.Errorf("%v has %v to leave, and its drain is %v", c.Command, left, drain)
		}
		settings[c.Command[1]] = slices.DeleteFunc(environ, func(pair string) bool {
			name, _, _ := strings.Cut(pair, "=") // the world has its own of these
			return slices.Contains([]string{"PUSHGATE_KEYS", "PUSHGATE_ID", "PUSHGATE_LISTEN", "PUSHGATE_ADMIN_LISTEN", "PUSHGATE_REDIS_URL"}, name)
		})
	}
	if len(settings) != 2 || t.Failed() {
		t.Fatalf("programs %v", settings)
	}
	w := Start(t, Options{Bin: bin, Edges: 1, Publishers: 1, EdgeEnv: settings["edge"]})
	p := w.Publishers[0]
	p.Setenv(settings["publisher"]...)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := NewChannel()
	posted := false
	for range 5 { // a poll begins at what comes after it
		done := make(chan string, 1)
		go func() {
			_, answer, err := w.Do(t.Context(), http.MethodGet, "http://"+w.Edges[0].Addr+"/bitrix/sub/?CHANNEL_ID="+w.Signed(id), "")
			if err != nil {
				answer = err.Error()
			}
			done <- answer
		}()
		if status, err := w.Post(t.Context(), "\"from the chart\"", false, id); err != nil || status != http.StatusOK {
			t.Fatalf("status %d, %v", status, err)
		}
		if posted = strings.Contains(<-done, "from the chart"); posted {
			break
		}
	}
	if !posted {
		t.Error("the message did not arrive")
	}
	for _, p := range []*Process{w.Edges[0], p} {
		began := time.Now()
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > left {
			t.Errorf("%s left after %v, and has %v", p.Name, took, left)
		}
	}
}
