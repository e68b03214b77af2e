package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// doctorOf runs the command with an environment.
func doctorOf(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err strings.Builder
	code = run(t.Context(), world{environ, &out, &err}, append([]string{"doctor", "--nginx", os.DevNull, "--admin", "127.0.0.1:1"}, args...))
	return code, out.String(), err.String()
}

// TestDoctor: an installation of which nothing runs has errors: exit code 2. Languages come from
// the flag or the environment.
func TestDoctor(t *testing.T) {
	environ := []string{"PUSHGATE_KEYS=a key for the doctor's test", "PUSHGATE_REDIS_URL=redis://127.0.0.1:1", "LANG=ru_RU.UTF-8"}
	code, russian, stderr := doctorOf(t, environ)
	if code != 2 || stderr != "" || !strings.Contains(russian, "Redis не отвечает") {
		t.Errorf("%d, %s\n%s", code, stderr, russian)
	}
	code, english, _ := doctorOf(t, environ, "--lang", "en")
	if code != 2 || !strings.Contains(english, "[redis.answers]") || !strings.Contains(english, "Redis does not answer") {
		t.Errorf("%d\n%s", code, english)
	}
	_, text, _ := doctorOf(t, environ, "--json")
	var report struct {
		State    string
		Findings []struct{ ID, State string }
	}
	if err := json.Unmarshal([]byte(text), &report); err != nil || report.State != "error" || len(report.Findings) < 45 {
		t.Errorf("%v, %+v", err, report)
	}
	if strings.Contains(russian+english+text, "doctor's test") {
		t.Error("the key is printed")
	}
}

// TestDoctorReadsTheFileOfTheUnits: the settings are those of a file in the place of the
// environment's.
func TestDoctorReadsTheFileOfTheUnits(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pushgate.env")
	if err := os.WriteFile(name, []byte("# settings\nPUSHGATE_REDIS_URL=redis://127.0.0.1:1\nPUSHGATE_KEYS=short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, text, stderr := doctorOf(t, []string{"PUSHGATE_KEYS=a key for the doctor's test"}, "--env", name)
	if code != 2 || !strings.Contains(text, "[keys.settings]") || !strings.Contains(text, "fewer than 16") {
		t.Errorf("%d, %s\n%s", code, stderr, text)
	}
}

// TestDoctorCannotCheck: a wrong call is no finding.
func TestDoctorCannotCheck(t *testing.T) {
	for _, args := range [][]string{{"--lang", "fr"}, {"--portal", "portal.example.com"}, {"--env", "/nonexistent"}, {"--body", "/nonexistent"}} {
		if code, stdout, stderr := doctorOf(t, []string{"PUSHGATE_KEYS=x"}, args...); code != 2 || stdout != "" || !strings.HasPrefix(stderr, "pushgate doctor: ") {
			t.Errorf("%v: %d, %q, %q", args, code, stdout, stderr)
		}
	}
}
