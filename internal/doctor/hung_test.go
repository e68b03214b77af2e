//go:build unix

package doctor

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// pipe puts a named pipe into the place of a file.
func pipe(t *testing.T, name string) {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	os.Remove(name)
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // who waits for a writer gets one, and the end
		if f, err := os.OpenFile(name, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			f.Close()
		}
	})
}

// examine returns what the doctor finds. It fails the test if it finds nothing in time.
func examine(ctx context.Context, t *testing.T, o Options) map[string]State {
	reports := make(chan Report, 1)
	go func() {
		report, err := Run(ctx, o)
		if err != nil {
			t.Error(err)
		}
		reports <- report
	}()
	select {
	case report := <-reports:
		return states(report)
	case <-time.After(Timeout):
		t.Fatal("the doctor hangs")
		return nil
	}
}

// TestAPipeAmongTheFilesHungTheDoctor: a named pipe in the place of a file of the machine held the
// doctor for ever.
func TestAPipeAmongTheFilesHungTheDoctor(t *testing.T) {
	o := newInstallation(t).options()
	o.Admin = nil
	pipe(t, filepath.Join(o.Root, "etc/logrotate.d/pipe"))
	pipe(t, filepath.Join(o.Root, "proc/77/environ"))
	pipe(t, filepath.Join(o.Root, "proc/78/cmdline"))
	for pid, name := range map[string]string{"77": "edge", "78": "nginx"} {
		if err := os.WriteFile(filepath.Join(o.Root, "proc", pid, "comm"), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := examine(t.Context(), t, o)
	for _, id := range []string{"redis.answers", "nginx.config", "others.logrotate", "others.original"} {
		if got[id] != OK {
			t.Errorf("%s: %s", id, got[id])
		}
	}
}

// TestAReadWithoutEndHungTheDoctor: a read from which the system does not return, such as of a pipe
// without a writer, held the doctor beyond its time. Now what needs it is unknown.
func TestAReadWithoutEndHungTheDoctor(t *testing.T) {
	o := newInstallation(t).options()
	pipe(t, o.Nginx)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
	defer cancel()
	if got := examine(ctx, t, o); got["nginx.config"] != Unknown {
		t.Errorf("nginx.config: %s", got["nginx.config"])
	}
}
