package e2e

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestImage builds what the Dockerfile builds, from exactly the files that its COPY lines and
// .dockerignore let in, and checks that the commands of the image are there and run without
// anything else. It needs no container engine.
func TestImage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(Repository(), "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	stages := parseDockerfile(string(text))
	if len(stages) != 2 {
		t.Fatalf("%d stages", len(stages))
	}
	root := t.TempDir() // of the build stage
	stages[0].build(t, root)

	image := t.TempDir()
	for _, c := range stages[1].all("COPY") {
		words := strings.Fields(c)
		if words[0] != "--from=build" || len(words) != 3 {
			t.Fatalf("COPY %s: only single files and directories of the build stage are known here", c)
		}
		if !strings.HasPrefix(words[1], "/out/") {
			continue // of the image that it is built in
		}
		if err := os.CopyFS(filepath.Join(image, words[2]), os.DirFS(filepath.Join(root, words[1]))); err != nil {
			t.Fatal(err)
		}
	}
	commands := [][]string{execForm(t, stages[1].last("HEALTHCHECK")), execForm(t, stages[1].last("CMD"))}
	if entry := stages[1].last("ENTRYPOINT"); entry != "" {
		commands[1] = append(execForm(t, entry), commands[1]...)
	}
	commands = append(commands, composeCommands(t)...)
	for _, command := range commands {
		// The programs are linked statically, so that they run outside of the image as in it.
		cmd := exec.Command(filepath.Join(image, command[0]), append(command[1:], "--help")...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", command, err, out)
		}
	}
	out, err := exec.Command(filepath.Join(image, "pushgate"), "version").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("1.2.3-image")) {
		t.Errorf("the version of the build is not in the program: %v\n%s", err, out)
	}
	program, err := elf.Open(filepath.Join(image, "pushgate"))
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	if slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Error("the program needs libraries, and the image has none")
	}
}

// composeCommands returns the commands by which docker-compose.yml runs the image.
func composeCommands(t *testing.T) (commands [][]string) {
	t.Helper()
	for _, s := range readCompose(t).Services {
		if s.Build != "" && !slices.ContainsFunc(commands, func(known []string) bool { return slices.Equal(known, s.Command) }) {
			commands = append(commands, s.Command)
		}
	}
	return commands
}

// stage is a part of a Dockerfile that begins with FROM: its other instructions, without comments
// and with joined lines.
type stage []string

// parseDockerfile returns the stages of a Dockerfile.
func parseDockerfile(text string) (stages []stage) {
	text = regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(text, "")
	text = regexp.MustCompile(`\\\n\s*`).ReplaceAllString(text, "")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "FROM "):
			stages = append(stages, nil)
		case line != "" && len(stages) > 0:
			stages[len(stages)-1] = append(stages[len(stages)-1], line)
		}
	}
	return stages
}

// all returns the arguments of each instruction of a kind.
func (s stage) all(instruction string) (arguments []string) {
	for _, line := range s {
		if rest, ok := strings.CutPrefix(line, instruction+" "); ok {
			arguments = append(arguments, rest)
		}
	}
	return arguments
}

// last returns the arguments of the instruction of a kind that counts, empty if there is none.
func (s stage) last(instruction string) string {
	if all := s.all(instruction); len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// execForm returns the words of a command that is written as a JSON array.
func execForm(t *testing.T, arguments string) (words []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(arguments[max(0, strings.Index(arguments, "[")):]), &words); err != nil || len(words) == 0 {
		t.Fatalf("%q is no command without a shell: %v", arguments, err)
	}
	return words
}

// build runs a stage in a directory that stands for the root of its file system. What downloads the
// modules is left out: Go has them, or gets them.
func (s stage) build(t *testing.T, root string) {
	t.Helper()
	at := filepath.Join(root, s.last("WORKDIR"))
	if err := os.MkdirAll(filepath.Join(root, "out"), 0o700); err != nil {
		t.Fatal(err)
	}
	context := buildContext(t)
	for _, c := range s.all("COPY") {
		words := strings.Fields(c)
		sources, target := words[:len(words)-1], words[len(words)-1]
		for _, source := range sources {
			copied := 0
			for _, name := range context {
				to := path.Join(target, strings.TrimPrefix(name, source))
				if name == source && strings.HasSuffix(target, "/") {
					to = path.Join(target, path.Base(name))
				} else if name != source && !strings.HasPrefix(name, source+"/") {
					continue
				}
				content, err := os.ReadFile(filepath.Join(Repository(), name))
				if os.IsNotExist(err) {
					continue // deleted, and not committed yet
				}
				if err == nil {
					err = os.MkdirAll(filepath.Dir(filepath.Join(at, to)), 0o700)
				}
				if err == nil {
					err = os.WriteFile(filepath.Join(at, to), content, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				copied++
			}
			if copied == 0 {
				t.Errorf("COPY %s: nothing of %s is in the context: .dockerignore leaves it out, or git does not have it", c, source)
			}
		}
	}
	for _, command := range s.all("RUN") {
		if strings.HasPrefix(command, "go mod download") {
			continue
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-ec", strings.ReplaceAll(command, "/out/", root+"/out/"))
		cmd.Dir = at
		cmd.Env = append(os.Environ(), "TARGETOS="+runtime.GOOS, "TARGETARCH="+runtime.GOARCH, "VERSION=1.2.3-image", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("RUN %s: %v\n%s", command, err, out)
		}
	}
}

// buildContext returns the files of the git tree that .dockerignore lets in: for each, the last
// pattern that matches it, or a directory of it, decides.
func buildContext(t *testing.T) (names []string) {
	t.Helper()
	ignore, err := os.ReadFile(filepath.Join(Repository(), ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	list := exec.Command("git", "ls-files", "-z")
	list.Dir = Repository()
	out, err := list.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		in := true
		for pattern := range strings.FieldsSeq(string(ignore)) {
			pattern, back := strings.CutPrefix(pattern, "!")
			for part := name; part != "."; part = path.Dir(part) {
				if matches, err := path.Match(pattern, part); err != nil || strings.Contains(pattern, "**") {
					t.Fatalf(".dockerignore: %s is not known here: %v", pattern, err)
				} else if matches {
					in = back
				}
			}
		}
		if in {
			names = append(names, name)
		}
	}
	return names
}
