package testkit

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// leakPatience is how long goroutines may take to end after the last test.
const leakPatience = 3 * time.Second

// Main runs the tests of a package and exits. TestMain calls it:
//
//	func TestMain(m *testing.M) { testkit.Main(m) }
//
// If the tests pass, but more goroutines are left than before, it prints all stacks and exits with
// 1: code that starts a goroutine must wait for it.
func Main(m *testing.M) {
	// The runtime starts a goroutine at the first call of Notify, and keeps it.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	signal.Stop(signals)
	before := runtime.NumGoroutine()
	code := m.Run()
	if code == 0 && !fuzzing() && !downTo(before) {
		buf := make([]byte, 1<<20)
		fmt.Fprintf(os.Stderr, "%d goroutines before the tests, %d after them:\n%s\n",
			before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
		code = 1
	}
	os.Exit(code)
}

// fuzzing reports whether the tests are a fuzz run, whose engine leaves goroutines of its own.
func fuzzing() bool {
	f := flag.Lookup("test.fuzz")
	return f != nil && f.Value.String() != ""
}

// downTo reports whether at most n goroutines are left within [leakPatience].
func downTo(n int) bool {
	for deadline := time.Now().Add(leakPatience); ; time.Sleep(10 * time.Millisecond) {
		if runtime.NumGoroutine() <= n {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// Descriptors returns how many files and sockets this process has open. It works on Linux only.
func Descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
