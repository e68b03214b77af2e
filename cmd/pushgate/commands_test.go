package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"pushgate/internal/config"
)

// call runs the program in this process and returns its exit code and what it printed.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err strings.Builder
	code = run(t.Context(), world{nil, &out, &err}, args)
	return code, out.String(), err.String()
}

// each calls f with all commands but those that cobra adds.
func each(root *cobra.Command, f func(c *cobra.Command)) {
	f(root)
	for _, c := range root.Commands() {
		each(c, f)
	}
}

// TestManual: there is a page for the program and each sub-command, which names every flag and
// every environment variable, and is made the same twice.
func TestManual(t *testing.T) {
	dirs := []string{t.TempDir(), filepath.Join(t.TempDir(), "new")}
	for _, dir := range dirs {
		if code, _, stderr := call(t, "man", dir); code != 0 {
			t.Fatal(code, stderr)
		}
	}
	pages := 0
	each(newRoot(world{}), func(c *cobra.Command) {
		if c.Hidden {
			return
		}
		pages++
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		text, err := os.ReadFile(filepath.Join(dirs[0], name))
		if err != nil {
			t.Error(err)
			return
		}
		if again, err := os.ReadFile(filepath.Join(dirs[1], name)); err != nil || string(again) != string(text) {
			t.Errorf("%s differs the second time: %v", name, err)
		}
		page := strings.ReplaceAll(string(text), `\-`, "-")
		c.InitDefaultHelpFlag()
		for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(c.Flags().FlagUsages(), -1) {
			if !strings.Contains(page, flag) {
				t.Errorf("%s has no %s", name, flag)
			}
		}
		if program := c.Annotations[variablesOf]; program != "" {
			variables := config.Variables(program)
			if len(variables) < 20 {
				t.Errorf("%s has %d variables", program, len(variables))
			}
			for _, v := range variables {
				if !strings.Contains(page, v.Name) {
					t.Errorf("%s has no %s", name, v.Name)
				}
			}
			if strings.Contains(page, ".md") {
				t.Errorf("%s has links of Markdown", name)
			}
		}
	})
	if pages < 8 {
		t.Errorf("%d pages", pages)
	}
	if man, err := exec.LookPath("man"); err == nil {
		var warnings strings.Builder
		show := exec.Command(man, "--warnings", "-l", filepath.Join(dirs[0], "pushgate-serve.1"))
		show.Stderr = &warnings
		if text, err := show.Output(); err != nil || !strings.Contains(string(text), "PUSHGATE_REDIS_STRICT") || warnings.Len() > 0 {
			t.Errorf("%v, %s\n%s", err, warnings.String(), text)
		}
	}
}

// TestCompletion: the scripts of the shells are there, and the program completes what they ask for.
func TestCompletion(t *testing.T) {
	for shell, want := range map[string]string{"bash": "__start_pushgate", "zsh": "#compdef pushgate", "fish": "complete -c pushgate"} {
		code, script, stderr := call(t, "completion", shell)
		if code != 0 || !strings.Contains(script, want) {
			t.Errorf("%s: %d, %s", shell, code, stderr)
		}
		if program, err := exec.LookPath(shell); err == nil {
			name := filepath.Join(t.TempDir(), "script")
			if err := os.WriteFile(name, []byte(script), 0o600); err != nil {
				t.Fatal(err)
			}
			if text, err := exec.Command(program, "-n", name).CombinedOutput(); err != nil {
				t.Errorf("%s: %v, %s", shell, err, text)
			}
		}
	}
	_, commands, _ := call(t, "__complete", "")
	_, flags, _ := call(t, "__complete", "dev", "--")
	for _, name := range []string{"edge", "publisher", "serve", "dev", "sign", "load", "version"} {
		if !strings.Contains(commands, "\n"+name+"\t") && !strings.HasPrefix(commands, name+"\t") {
			t.Errorf("%s is not completed: %s", name, commands)
		}
	}
	if !strings.Contains(flags, "--redis") {
		t.Errorf("flags are not completed: %s", flags)
	}
}

// TestVersion: as a command, as a flag of the program, and as that of a sub-command that has none.
func TestVersion(t *testing.T) {
	_, want, _ := call(t, "version")
	if !strings.HasPrefix(want, "pushgate version devel (commit ") {
		t.Errorf("%q", want)
	}
	if code, got, stderr := call(t, "--version"); code != 0 || got != want {
		t.Errorf("%d, %q, %q; want %q", code, got, stderr, want)
	}
	if code, got, stderr := call(t, "edge", "--version"); code != 0 || got != "edge "+strings.TrimPrefix(want, "pushgate ") {
		t.Errorf("%d, %q, %q", code, got, stderr)
	}
}

// TestWrongCalls: exit code 2 with the usage, and a guess for a mistyped command.
func TestWrongCalls(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"serv"}, "serve"},
		{[]string{"serve", "now"}, "unknown command \"now\""},
		{[]string{"dev", "--nope"}, "unknown flag: --nope"},
		{[]string{"man"}, "accepts 1 arg"},
	} {
		if code, _, stderr := call(t, c.args...); code != 2 || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, "Usage:") {
			t.Errorf("%v: code %d, %s", c.args, code, stderr)
		}
	}
	// What a program refuses itself has its own exit code and its own words.
	if code, _, stderr := call(t, "edge"); code != 2 || strings.Contains(stderr, "Usage:") {
		t.Errorf("code %d, %s", code, stderr)
	}
}

// TestFollowTakesATime: the time of --follow may stand behind a blank, as the documents write it.
func TestFollowTakesATime(t *testing.T) {
	if code, _, stderr := call(t, "explain", "user:17", "--follow", "5m"); code != 1 || !strings.Contains(stderr, "PUSHGATE_") {
		t.Errorf("code %d, %q, want only the settings missing", code, stderr)
	}
}
