package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// readUnit returns the settings of a unit or drop-in, each with its values in their order.
func readUnit(path string) (map[string][]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	settings := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			settings[key] = append(settings[key], value)
		}
	}
	return settings, nil
}

// UnitEnv returns the environment that systemd passes to edge@PORT or publisher@PORT of deploy/
// with drop-ins, which are files. It reads the files that they name, and makes the unit's
// directories below /run.
func UnitEnv(program string, port int, dropIns ...string) (env []string, err error) {
	var files []string
	for _, path := range append([]string{filepath.Join(Repository(), "deploy", program+"@.service")}, dropIns...) {
		settings, err := readUnit(path)
		if err != nil {
			return nil, err
		}
		for _, directory := range settings["RuntimeDirectory"] {
			if err := os.MkdirAll("/run/"+strings.ReplaceAll(directory, "%i", fmt.Sprint(port)), 0o700); err != nil {
				return nil, err
			}
		}
		for _, line := range settings["Environment"] {
			env = append(env, strings.Fields(strings.NewReplacer("%i", fmt.Sprint(port), "%H", "host").Replace(line))...)
		}
		files = append(files, settings["EnvironmentFile"]...)
	}
	for _, path := range files { // which win over Environment
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				env = append(env, line)
			}
		}
	}
	return env, nil
}

// AdoptedKey returns the key of the portal that adopt wrote for the programs into a directory,
// empty if it wrote none.
func AdoptedKey(out string) string {
	for name, pattern := range map[string]string{"secret.env": `PUSHGATE_KEYS=(\S+)`, "portals.json": `"keys": \[\s*"([^"]+)"`, "kubernetes/secret.yaml": `PUSHGATE_KEYS: "(.+)"`} {
		text, _ := os.ReadFile(filepath.Join(out, name))
		if match := regexp.MustCompile(pattern).FindSubmatch(text); match != nil {
			return string(match[1])
		}
	}
	return ""
}
