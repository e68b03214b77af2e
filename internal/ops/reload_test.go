package ops

import (
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReload sends SIGHUP to the process: to a service whose reload succeeds, to one whose reload
// fails, and to one without.
func TestReload(t *testing.T) {
	results := make(chan error)
	_, admin, leave := start(t, Service{Reload: func() error { return <-results }})
	for _, c := range []struct {
		result error
		want   string
	}{
		{nil, `pushgate_reloads_total{outcome="done"} 1`},
		{errors.New("broken"), `pushgate_reloads_total{outcome="failed"} 1`},
		{nil, `pushgate_reloads_total{outcome="done"} 2`},
	} {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		results <- c.result
		deadline := time.Now().Add(30 * time.Second)
		for {
			if _, body := get(t, admin, "/metrics"); strings.Contains(body, c.want) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("no", c.want)
			}
		}
	}
	if err := leave(); err != nil {
		t.Error(err)
	}
	_, _, leave = start(t, Service{})
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for hangsUp() { // without the service, a late signal would end the process
		time.Sleep(time.Millisecond)
	}
	if err := leave(); err != nil {
		t.Error(err)
	}
}

// TestHangupWhileItStarts: a SIGHUP that comes while the process starts does not end it. It comes
// when the file of portals is changed at that moment.
func TestHangupWhileItStarts(t *testing.T) {
	_, _, leave := start(t, Service{Bind: func(address string) (net.Listener, error) {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Error(err)
		}
		for hangsUp() {
			time.Sleep(time.Millisecond)
		}
		return Listen(address)
	}})
	if err := leave(); err != nil {
		t.Error(err)
	}
}

// hangsUp reports whether the system says that a SIGHUP is pending for this process.
func hangsUp() bool {
	status, _ := os.ReadFile("/proc/self/status")
	_, pending, _ := strings.Cut(string(status), "\nShdPnd:\t")
	signals, _ := strconv.ParseUint(pending[:min(16, len(pending))], 16, 64)
	return signals&(1<<(syscall.SIGHUP-1)) != 0
}
