package adopt

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"pushgate/internal/config"
)

// counter is a source of keys that differ in every call, but not from run to run.
type counter struct{ n byte }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		c.n += 7
		p[i] = c.n
	}
	return len(p), nil
}

// written returns the files below a directory.
func written(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		relative, _ := filepath.Rel(dir, name)
		all[relative] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// secretsOf are what must not be read by others: the keys and passwords of the installations.
var secretsOf = regexp.MustCompile(`env-docker-0123456789|testtesttest|eiNg0ochaeWei7Xo9uTh|quite-a-long-key|IMbEDEnTAND|awwehdev-key|vm[79]Key|severalMachines0|helm-key|a-password-of-redis`)

// TestSecrets: keys are in no output but in files that only their owner can read.
func TestSecrets(t *testing.T) {
	for _, name := range installations {
		out := filepath.Join(t.TempDir(), "out")
		plan, err := run(t, Options{Root: filepath.Join("testdata", name), Out: out})
		if err != nil {
			t.Fatal(err)
		}
		if found := secretsOf.FindString(plan); found != "" {
			t.Errorf("%s: %q in the plan", name, found)
		}
		secret := 0
		for file, text := range written(t, out) {
			info, err := os.Stat(filepath.Join(out, file))
			if err != nil {
				t.Fatal(err)
			}
			switch private := info.Mode().Perm() == 0o600; {
			case private:
				secret++
			case secretsOf.MatchString(text), madeKey.MatchString(text):
				t.Errorf("%s: a key in %s, which has mode %v", name, file, info.Mode())
			case info.Mode().Perm() != 0o644:
				t.Errorf("%s: %s has mode %v", name, file, info.Mode())
			}
			if strings.Contains(file, ".new-") {
				t.Errorf("%s: a temporary file is left: %s", name, file)
			}
		}
		if secret == 0 {
			t.Errorf("%s: no file for its owner only", name)
		}
	}
}

// madeKey matches a key that adopt has made.
var madeKey = regexp.MustCompile(`\b[A-Za-z2-9]{40}\b`)

// TestWrittenSettings: the programs accept what is written for them.
func TestWrittenSettings(t *testing.T) {
	for _, name := range installations {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			if _, err := run(t, Options{Root: filepath.Join("testdata", name), Out: out}); err != nil {
				t.Fatal(err)
			}
			files := written(t, out)
			environ := strings.Split(strings.ReplaceAll(files["pushgate.env"]+files["secret.env"], "/etc/pushgate", out), "\n")
			for _, manifest := range []string{"kubernetes/pushgate.yaml", "kubernetes/secret.yaml"} {
				if text := files[manifest]; text != "" {
					var doc struct {
						Data       map[string]string
						StringData map[string]string `yaml:"stringData"`
					}
					if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
						t.Fatal(err)
					}
					for _, all := range []map[string]string{doc.Data, doc.StringData} {
						for name, value := range all {
							environ = append(environ, name+"="+value)
						}
					}
				}
			}
			edge, err := config.LoadEdge(environ)
			if err != nil {
				t.Error(err)
			}
			if _, err := config.LoadPublisher(environ); err != nil {
				t.Error(err)
			}
			if name == "awwehdev" && (edge.MaxPayload != 2<<20 || edge.MaxMessages != 200 || edge.TTLRules.TTL("im", 0).Hours() != 12) {
				t.Errorf("limits and lives are not carried over: %+v", edge.Common)
			}
			if text := files["compose.pushgate.yml"]; text != "" {
				if err := yaml.Unmarshal([]byte(text), &map[string]any{}); err != nil {
					t.Errorf("%v in\n%s", err, text)
				}
			}
			// The original's old ids are below those that clients bring from pushgate.
			back := files["ROLLBACK.md"]
			if !strings.Contains(back, "redis-cli del server:startdate") {
				t.Errorf("after this way back, clients miss messages:\n%s", back)
			}
			// Whoever takes the steps in their order must come to it before the original starts.
			for _, start := range []string{"systemctl enable --now push-server", " up -d"} {
				if at := strings.Index(back, start); at >= 0 && !strings.Contains(back[:at], "redis-cli del server:startdate") {
					t.Errorf("%q comes before the key is deleted:\n%s", start, back)
				}
			}
		})
	}
}

// TestOutputDirectory: only a new directory is written to, or one of ours, whose files are replaced
// while the key that was made stays.
func TestOutputDirectory(t *testing.T) {
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	weak := filepath.Join("testdata", "bitrixdock")
	if _, err := run(t, Options{Root: weak, Out: foreign}); err == nil || !strings.Contains(err.Error(), "is not empty, and adopt has not written what is in it") {
		t.Errorf("a directory of somebody else: %v", err)
	}
	if left := written(t, foreign); len(left) != 1 {
		t.Errorf("it has %v", left)
	}

	out, random := filepath.Join(t.TempDir(), "a", "b"), &counter{}
	if _, err := run(t, Options{Root: weak, Out: out, Random: random}); err != nil {
		t.Fatal(err)
	}
	first := written(t, out)
	if !madeKey.MatchString(first["secret.env"]) {
		t.Fatalf("no new key in %v", first)
	}
	if _, err := run(t, Options{Root: weak, Out: out, Random: random}); err != nil {
		t.Fatal(err)
	}
	if again := written(t, out); again["secret.env"] != first["secret.env"] || len(again) != len(first) {
		t.Error("the second run made another key, or other files")
	}
	if _, err := run(t, Options{Root: filepath.Join("testdata", "bitrixvm9"), Out: out}); err != nil {
		t.Fatal(err)
	}
	if _, ok := written(t, out)["compose.pushgate.yml"]; ok {
		t.Error("a file of the run before is left")
	}
}

// TestNginxIsRestartedForAnotherAddress: a reload cannot replace "listen 8895" by one address, and
// nothing says so but the error log. Everything else is reloaded.
func TestNginxIsRestartedForAnotherAddress(t *testing.T) {
	for name, restart := range map[string]bool{"bitrixvm9": true, "env-docker": false} {
		out := filepath.Join(t.TempDir(), "out")
		plan, err := run(t, Options{Root: filepath.Join("testdata", name), Out: out})
		if err != nil {
			t.Fatal(err)
		}
		for where, text := range map[string]string{"the plan": plan, "ROLLBACK.md": written(t, out)["ROLLBACK.md"]} {
			if strings.Contains(text, "systemctl restart nginx") != restart || strings.Contains(text, "nginx -s reload") == restart {
				t.Errorf("%s: %s says:\n%s", name, where, text)
			}
		}
	}
}

// TestPortalScripts: what is to be run in the portal sets the options, and what is to be run to go
// back sets them to what they were.
func TestPortalScripts(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	if _, err := run(t, Options{Root: filepath.Join("testdata", "bitrixdock"), Out: out}); err != nil {
		t.Fatal(err)
	}
	files := written(t, out)
	for name, want := range map[string]string{
		"portal/options.php":          `\Bitrix\Main\Config\Option::set('pull', 'path_to_publish', 'http://push-server-pub:8010/bitrix/pub/');`,
		"portal/options.sql":          `INSERT INTO b_option (MODULE_ID, NAME, VALUE) VALUES ('pull', 'path_to_publish', 'http://push-server-pub:8010/bitrix/pub/');`,
		"rollback/portal/options.php": `\Bitrix\Main\Config\Option::set('pull', 'path_to_publish', 'http://bitrix.local/bitrix/pub/');`,
		"rollback/portal/options.sql": `VALUES ('pull', 'signature_key', 'testtesttest');`,
		"portal/options-key.php":      `\Bitrix\Main\Config\Option::set('pull', 'signature_key', '`,
	} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s: no %q in\n%s", name, want, files[name])
		}
	}
	key := madeKey.FindString(files["portal/options-key.php"])
	if key == "" || !slices.Contains(strings.Split(strings.TrimSpace(files["secret.env"]), "="), key) {
		t.Error("the portal and pushgate do not get the same key")
	}
}

// TestMachineGoesBack: on a machine, the plan brings no unit beside those of the package, and the
// way back stops each unit that is started and removes each drop-in.
func TestMachineGoesBack(t *testing.T) {
	enabled := regexp.MustCompile(`systemctl enable --now ((?:edge|publisher|pushgate).*)\n`)
	for _, name := range []string{"bitrixvm7", "bitrixvm9", "several-machines"} {
		out := filepath.Join(t.TempDir(), "out")
		plan, err := run(t, Options{Root: filepath.Join("testdata", name), Out: out})
		if err != nil {
			t.Fatal(err)
		}
		files := written(t, out)
		back := files["ROLLBACK.md"]
		starts := enabled.FindAllStringSubmatch(plan, -1)
		if len(starts) != 2 {
			t.Errorf("%s: %d commands start units", name, len(starts))
		}
		for _, units := range starts {
			if !strings.Contains(back, "systemctl disable --now "+units[1]) {
				t.Errorf("%s: %s stay in\n%s", name, units[1], back)
			}
		}
		for file := range files {
			at, ok := strings.CutPrefix(file, "systemd/")
			if !ok {
				continue
			}
			if filepath.Base(at) != "adopt.conf" {
				t.Errorf("%s: %s is a unit of its own", name, file)
			}
			if !strings.Contains(back, "/etc/systemd/system/"+at) {
				t.Errorf("%s: %s stays in\n%s", name, at, back)
			}
		}
	}
}
