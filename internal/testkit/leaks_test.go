package testkit

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

const leave = "TESTKIT_LEAVE_A_GOROUTINE"

// TestMainReportsALeak runs this test again in a process in which it passes and leaves a goroutine.
func TestMainReportsALeak(t *testing.T) {
	if os.Getenv(leave) != "" {
		go func() { select {} }()
		return
	}
	again := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	again.Env = append(os.Environ(), leave+"=1")
	out, err := again.CombinedOutput()
	if again.ProcessState == nil || again.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "TestMainReportsALeak") {
		t.Errorf("%v\n%s", err, out)
	}
}
