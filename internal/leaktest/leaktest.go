// Package leaktest checks at the end of a package's tests that no goroutine is left: the code that
// starts one must wait for it.
package leaktest

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

// patience bounds the time in which goroutines must end after the last test.
const patience = 3 * time.Second

// Main runs the tests of a package and exits. It is called by TestMain:
//
//	func TestMain(m *testing.M) { leaktest.Main(m) }
//
// If the tests pass, but leave goroutines that were not there before, it prints all stacks and
// exits with 1.
func Main(m *testing.M) {
	// The runtime starts a goroutine for signals when the first one is asked for, and keeps it.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	signal.Stop(signals)
	before := runtime.NumGoroutine()
	code := m.Run()
	if code == 0 && !fuzzing() && !settled(before) {
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

func settled(before int) bool {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if runtime.NumGoroutine() <= before {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}
