package ops

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"pushgate/internal/testkit"
)

// TestMain is also the program to which TestMainSignals sends signals. It checks that the tests
// leave no goroutine behind.
func TestMain(m *testing.M) {
	if how := os.Getenv("OPS_TEST_PROGRAM"); how != "" {
		os.Exit(Main(slog.New(slog.NewTextHandler(os.Stdout, nil)), func(ctx context.Context) error {
			fmt.Println("up")
			<-ctx.Done()
			switch how {
			case "tidy":
				return nil
			case "failing":
				return fmt.Errorf("broken")
			}
			fmt.Println("told")
			select {}
		}))
	}
	testkit.Main(m)
}

func TestMainSignals(t *testing.T) {
	for _, c := range []struct {
		how  string
		code int // -1 if killed by the signal
		says string
	}{
		{"tidy", 0, ""},
		{"failing", 1, "error=broken"},
		{"stuck", -1, "told"},
	} {
		t.Run(c.how, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "OPS_TEST_PROGRAM="+c.how)
			pipe, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			out := bufio.NewReader(pipe)
			out.ReadString('\n')
			cmd.Process.Signal(syscall.SIGTERM)
			said, _ := out.ReadString('\n')
			// The program may print "told" before the signal has its default effect again.
			deadline := time.Now().Add(10 * time.Second)
			for c.code < 0 && time.Now().Before(deadline) && cmd.Process.Signal(syscall.SIGTERM) == nil && !gone(cmd.Process.Pid) {
				runtime.Gosched()
			}
			if time.Now().After(deadline) {
				cmd.Process.Kill()
			}
			rest, _ := io.ReadAll(out)
			cmd.Wait()
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if cmd.ProcessState.ExitCode() != c.code || status.Signaled() && status.Signal() != syscall.SIGTERM {
				t.Errorf("%v, want exit code %d", cmd.ProcessState, c.code)
			}
			if said += string(rest); !strings.Contains(said, c.says) {
				t.Errorf("it said %q", said)
			}
		})
	}
}

// gone reports whether a child has ended, without collecting it.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}
